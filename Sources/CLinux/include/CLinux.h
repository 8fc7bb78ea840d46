#pragma once

#include "FileStatus.h"
#include "Tunnel.h"
