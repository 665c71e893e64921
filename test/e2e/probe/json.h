// A JSON writer for the probe: keys in the order they are written, text escaped byte for byte
// (bytes that are not ASCII become \u00XX). One document at a time, into a growing buffer, written
// to stdout by json_flush().
#pragma once

#include <stddef.h>

void json_open(const char* key, char bracket);  // '{' or '['; key may be NULL inside an array
void json_close(void);
void json_text(const char* key, const char* value);
void json_bytes(const char* key, const char* value, size_t length);
void json_number(const char* key, long long value);
void json_bool(const char* key, int value);
void json_flush(int fd);  // ends with a newline

// Content of a file as a JSON string; null if it cannot be read (then "<key>_error" says why).
void json_file(const char* key, const char* path);

// "ok" for 0, else the symbolic name of the errno ("EPERM", or "E<number>" for a rare one).
const char* errno_name(int error);
