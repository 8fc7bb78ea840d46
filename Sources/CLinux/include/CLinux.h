#pragma once

#include "FileStatus.h"
#include "Resolve.h"
#include "Tunnel.h"
