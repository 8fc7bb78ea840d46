#pragma once

#include "FileStatus.h"
