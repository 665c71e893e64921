// The probe: a static program that test images carry. It reports what a process sees from inside a
// container (report, tree, paths, ps), or behaves in a way that a runtime must cope with (sleep,
// ignore-term, ...).
#pragma once

#include <sys/types.h>

const char* type_name(mode_t mode);  // "file", "dir", "char", ...
void syscalls(void);                 // syscalls.c: "syscalls": {name: errno}, part of a report

// report.c: one JSON document on stdout. Exit code 0.
int report(int argc, char** argv, char** env);
int paths(int argc, char** argv);  // what reading and writing each path gives
int tree(int argc,
         char** argv);  // every file below a directory: type, mode, owner, content, xattrs

// devices.c
int devices(int argc, char** argv);  // what each device node is, and what opening it gives
int spy(void);                       // what may be read of every process in sight
int watch(void);                     // until TERM: the descriptors of all other processes

// behave.c
int behave(int argc, char** argv);  // -1: no such mode
