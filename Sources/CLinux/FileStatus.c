#include "FileStatus.h"

#include <sys/stat.h>

int starling_file_status(int file, uint32_t *mode, int64_t *size, int *is_regular) {
  struct stat status;
  if (fstat(file, &status) != 0) return -1;
  *mode = status.st_mode & 0777;
  *size = status.st_size;
  *is_regular = S_ISREG(status.st_mode);
  return 0;
}
