#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char* buffer;
static size_t used, capacity;
static char closers[64];
static int depth;
static int need_comma;

static void put(const char* bytes, size_t length) {
  if (used + length > capacity) {
    capacity = (used + length) * 2;
    buffer = realloc(buffer, capacity);
    if (!buffer) _exit(125);
  }
  memcpy(buffer + used, bytes, length);
  used += length;
}

static void put_string(const char* bytes, size_t length) {
  put("\"", 1);
  for (size_t i = 0; i < length; ++i) {
    unsigned char c = (unsigned char)bytes[i];
    char escaped[8];
    if (c == '"' || c == '\\') {
      put("\\", 1);
      put(bytes + i, 1);
    } else if (c < 0x20 || c > 0x7e) {
      put(escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
    } else {
      put(bytes + i, 1);
    }
  }
  put("\"", 1);
}

static void begin(const char* key) {
  if (need_comma) put(",", 1);
  need_comma = 1;
  if (!key) return;
  put_string(key, strlen(key));
  put(":", 1);
}

void json_open(const char* key, char bracket) {
  begin(key);
  put(&bracket, 1);
  closers[depth++] = bracket == '{' ? '}' : ']';
  need_comma = 0;
}

void json_close(void) {
  put(&closers[--depth], 1);
  need_comma = 1;
}

void json_bytes(const char* key, const char* value, size_t length) {
  begin(key);
  put_string(value, length);
}

void json_text(const char* key, const char* value) { json_bytes(key, value, strlen(value)); }

void json_number(const char* key, long long value) {
  char digits[32];
  begin(key);
  put(digits, (size_t)snprintf(digits, sizeof digits, "%lld", value));
}

void json_bool(const char* key, int value) {
  begin(key);
  put(value ? "true" : "false", value ? 4 : 5);
}

void json_flush(int fd) {
  put("\n", 1);
  for (size_t done = 0; done < used;) {
    ssize_t n = write(fd, buffer + done, used - done);
    if (n < 0) _exit(124);
    done += (size_t)n;
  }
  used = 0;
  need_comma = 0;
}

void json_file(const char* key, const char* path) {
  static char content[256 << 10];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  ssize_t n = fd < 0 ? -1 : 0;
  while (fd >= 0 && length < sizeof content && (n = read(fd, content + length, sizeof content - length)) > 0) {
    length += (size_t)n;
  }
  int error = errno;
  if (fd >= 0) close(fd);
  if (n >= 0) {
    json_bytes(key, content, length);
    return;
  }
  char error_key[128];
  snprintf(error_key, sizeof error_key, "%s_error", key);
  begin(key);
  put("null", 4);
  json_text(error_key, errno_name(error));
}

const char* errno_name(int error) {
  static const struct {
    int number;
    const char* name;
  } names[] = {{0, "ok"},           {EPERM, "EPERM"},   {ENOENT, "ENOENT"},   {EACCES, "EACCES"},
               {EEXIST, "EEXIST"},  {ENOTDIR, "ENOTDIR"}, {EISDIR, "EISDIR"}, {EINVAL, "EINVAL"},
               {EFAULT, "EFAULT"},  {EBUSY, "EBUSY"},   {EROFS, "EROFS"},     {ENOSYS, "ENOSYS"},
               {ENXIO, "ENXIO"},    {ENODEV, "ENODEV"}, {EAGAIN, "EAGAIN"},   {ENOMEM, "ENOMEM"},
               {EIO, "EIO"},        {EBADF, "EBADF"},   {ENOSPC, "ENOSPC"},   {ESRCH, "ESRCH"},
               {ENOTTY, "ENOTTY"},  {EAFNOSUPPORT, "EAFNOSUPPORT"}, {ENOKEY, "ENOKEY"},
               {ENODATA, "ENODATA"}, {EOPNOTSUPP, "EOPNOTSUPP"}, {EDQUOT, "EDQUOT"},
               {ECONNREFUSED, "ECONNREFUSED"}};
  static char number[16];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
    if (names[i].number == error) return names[i].name;
  }
  snprintf(number, sizeof number, "E%d", error);
  return number;
}
