#pragma once

#include <stdint.h>

/// Permission bits, size and kind of an open file: `struct stat` belongs to another module as soon as
/// Foundation is anywhere in the build. Returns 0, or -1 with `errno` set.
int starling_file_status(int file, uint32_t *mode, int64_t *size, int *is_regular);
