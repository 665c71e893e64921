#include <stdio.h>
#include <string.h>

#include "probe.h"

int main(int argc, char** argv, char** env) {
  const char* mode = argc > 1 ? argv[1] : "report";
  if (!strcmp(mode, "report")) return report(argc, argv, env);
  if (!strcmp(mode, "paths")) return paths(argc, argv);
  if (!strcmp(mode, "tree")) return tree(argc, argv);
  if (!strcmp(mode, "devices")) return devices(argc, argv);
  if (!strcmp(mode, "spy")) return spy();
  if (!strcmp(mode, "watch")) return watch();
  int code = behave(argc, argv);
  if (code < 0) dprintf(2, "probe: no mode %s\n", mode);
  return code < 0 ? 2 : code;
}
