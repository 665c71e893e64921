#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

static long long number(int argc, char** argv, int index, long long otherwise) {
  return index < argc ? atoll(argv[index]) : otherwise;
}

static void write_all(int fd, const char* bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t n = write(fd, bytes + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) _exit(123);
    done += (size_t)n;
  }
}

static void say(const char* line) { write_all(1, line, strlen(line)); }

static int sleep_forever(void) {
  for (;;) pause();
  return 0;
}

static volatile sig_atomic_t last_signal;
static void note_signal(int signal_number) { last_signal = signal_number; }

static void handle(int signal_number, void (*handler)(int)) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(signal_number, &action, NULL);
}

// term-exit N: exits with N on the first signal of TERM, INT, QUIT, USR1 or USR2 ("signal <number>" is printed).
static int term_exit(int argc, char** argv) {
  static const int signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
  sigset_t blocked, before;
  char line[32];
  sigfillset(&blocked);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i) handle(signals[i], note_signal);
  say("ready\n");
  while (!last_signal) sigsuspend(&before);
  snprintf(line, sizeof line, "signal %d\n", (int)last_signal);
  say(line);
  return (int)number(argc, argv, 2, 0);
}

// signals N: prints "signal <number>" for each of TERM, INT, QUIT, HUP, USR1, USR2, WINCH and SIGRTMIN+3, as they come;
// exits 0 after the N-th.
static int signals(int argc, char** argv) {
  const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, 37};
  sigset_t set;
  char line[32];
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof watched / sizeof watched[0]; ++i) sigaddset(&set, watched[i]);
  sigprocmask(SIG_BLOCK, &set, NULL);
  say("ready\n");
  for (long long left = number(argc, argv, 2, 1); left > 0; --left) {
    int received = sigwaitinfo(&set, NULL);
    snprintf(line, sizeof line, "signal %d\n", received);
    say(line);
  }
  return 0;
}

// mount PATH: a tmpfs there, with a file "inside" on it. unmount PATH. The exit code is the errno.
static int mount_tmpfs(int argc, char** argv) {
  char file[4096];
  if (argc < 3) return EINVAL;
  if (mount("probe", argv[2], "tmpfs", 0, NULL)) return errno;
  snprintf(file, sizeof file, "%s/inside", argv[2]);
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  return close(fd) ? errno : 0;
}

static int unmount(int argc, char** argv) {
  if (argc < 3) return EINVAL;
  return umount2(argv[2], 0) ? errno : 0;
}

// stdin: copies stdin to stdout until its end, then prints "end".
static int copy_stdin(void) {
  char block[4096];
  for (ssize_t n; (n = read(0, block, sizeof block)) > 0;) write_all(1, block, (size_t)n);
  say("end\n");
  return 0;
}

// swap DIR TARGET: for ever exchanges DIR with a symbolic link to TARGET beside it.
static int swap(int argc, char** argv) {
  char link[4096];
  if (argc < 4) return EINVAL;
  snprintf(link, sizeof link, "%s.link", argv[2]);
  if (symlink(argv[3], link)) return errno;
  say("ready\n");
  for (;;) syscall(SYS_renameat2, AT_FDCWD, argv[2], AT_FDCWD, link, 2 /* RENAME_EXCHANGE */);
}

// put FILE TEXT: writes TEXT to a file that exists (of procfs, cgroupfs, ...). The exit code is the errno.
static int put_text(int argc, char** argv) {
  if (argc < 4) return EINVAL;
  int fd = open(argv[2], O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  ssize_t n = write(fd, argv[3], strlen(argv[3]));
  int error = errno;
  close(fd);
  return n < 0 ? error : 0;
}

// tick: prints "tick <n>" at each SIGUSR1.
static int tick(void) {
  sigset_t blocked, before;
  char line[32];
  sigfillset(&blocked);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  handle(SIGUSR1, note_signal);
  say("ready\n");
  for (int count = 1;; ++count) {
    while (!last_signal) sigsuspend(&before);
    last_signal = 0;
    snprintf(line, sizeof line, "tick %d\n", count);
    say(line);
  }
  return 0;
}

// emit FD SPEC...: nl, nul, cr, text:WORDS, repeat:C:COUNT, high:COUNT (bytes 0xff); all of it in one write where the pipe allows.
static int emit(int argc, char** argv) {
  int fd = (int)number(argc, argv, 2, 1);
  size_t length = 0, capacity = 1 << 20;
  char* out = malloc(capacity);
  if (!out) return 122;
  for (int i = 3; i < argc; ++i) {
    const char* spec = argv[i];
    size_t count = 1;
    const char* bytes = spec;
    char unit = 0;
    if (!strcmp(spec, "nl")) unit = '\n';
    if (!strcmp(spec, "cr")) unit = '\r';
    if (!strncmp(spec, "repeat:", 7)) {
      unit = spec[7];
      count = strtoul(spec + 9, NULL, 10);
    }
    if (!strncmp(spec, "high:", 5)) {
      unit = (char)0xff;
      count = strtoul(spec + 5, NULL, 10);
    }
    if (!strncmp(spec, "text:", 5)) {
      bytes = spec + 5;
      count = strlen(bytes);
    } else {
      bytes = NULL;
    }
    if (length + count > capacity) {
      capacity = (length + count) * 2;
      out = realloc(out, capacity);
      if (!out) return 122;
    }
    if (bytes) memcpy(out + length, bytes, count);
    if (!bytes) memset(out + length, unit, count);
    length += count;
  }
  write_all(fd, out, length);
  return 0;
}

// lines N: "stdout line <i>" and "stderr line <i>" in turn.
static int lines(int argc, char** argv) {
  char line[64];
  for (long long i = 0; i < number(argc, argv, 2, 1); ++i) {
    int n = snprintf(line, sizeof line, "stdout line %lld\n", i);
    write_all(1, line, (size_t)n);
    n = snprintf(line, sizeof line, "stderr line %lld\n", i);
    write_all(2, line, (size_t)n);
  }
  return 0;
}

// writers N: N processes at once, each "writer <n> <i>" until TERM, one write(2) a line; then "ended <n> <lines>".
static int writers(int argc, char** argv) {
  long long count = number(argc, argv, 2, 2);
  char line[64];
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, NULL);
  for (long long n = 0; n < count; ++n) {
    if (fork() != 0) continue;
    handle(SIGTERM, note_signal);
    sigprocmask(SIG_UNBLOCK, &term, NULL);
    long long i = 0;
    while (!last_signal) {
      write_all(1, line, (size_t)snprintf(line, sizeof line, "writer %lld %lld\n", n, i++));
    }
    write_all(1, line, (size_t)snprintf(line, sizeof line, "ended %lld %lld\n", n, i));
    return 0;
  }
  sigwaitinfo(&term, NULL);
  kill(0, SIGTERM);
  while (wait(NULL) > 0) {
  }
  return 0;
}

// spawn-orphans N [stay]: N grandchildren in sessions of their own keep stdout open; the first process exits 0, or
// stays too.
static int spawn_orphans(int argc, char** argv) {
  for (long long i = 0; i < number(argc, argv, 2, 2); ++i) {
    pid_t child = fork();
    if (child == 0) {
      setsid();
      if (fork() == 0) return sleep_forever();
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  say("orphans left\n");
  return argc > 3 ? sleep_forever() : 0;
}

// eat-memory BYTES [child]: with `child` one of its own does it, and it stays when that was killed.
static int eat_memory(int argc, char** argv) {
  const pid_t child = argc > 3 ? fork() : 0;
  if (child > 0) {
    int status = 0;
    waitpid(child, &status, 0);
    say(WIFSIGNALED(status) ? "child killed\n" : "child ended\n");
    return sleep_forever();
  }
  size_t bytes = (size_t)number(argc, argv, 2, 0);
  volatile char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 121;
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  say("eaten\n");
  return sleep_forever();
}

// burn-cpu MILLISECONDS: uses so much CPU time, no matter how long that takes.
static int burn_cpu(int argc, char** argv) {
  struct timespec used;
  do {
    for (volatile int i = 0; i < 100000; ++i) {
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < number(argc, argv, 2, 0));
  say("burnt\n");
  return sleep_forever();
}

// write-direct PATH BYTES: past the page cache, so that the device's counters have it at once.
static int write_direct(int argc, char** argv) {
  static char block[64 << 10] __attribute__((aligned(4096)));
  if (argc < 4) return EINVAL;
  int fd = open(argv[2], O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  for (long long left = number(argc, argv, 3, 0); left > 0; left -= sizeof block) {
    if (write(fd, block, sizeof block) != sizeof block) return errno != 0 ? errno : EIO;
  }
  return fsync(fd) == 0 ? 0 : errno;
}

// send-packets ADDRESS COUNT BYTES: UDP datagrams with so much payload, to port 9.
static int send_packets(int argc, char** argv) {
  static char payload[1400];
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9)};
  if (argc < 5 || inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1) return EINVAL;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (long long left = number(argc, argv, 3, 1); left > 0; --left) {
    // A refusal that an earlier one got is told by the next: it was sent all the same.
    size_t bytes = (size_t)number(argc, argv, 4, 1);
    if (bytes > sizeof payload) return EINVAL;
    if (sendto(fd, payload, bytes, 0, (void*)&peer, sizeof peer) < 0 && errno != ECONNREFUSED) return errno;
  }
  return 0;
}

// fork-bomb N: forks until N children live or fork fails; prints how many lived and why it ended; kills them.
static int fork_bomb(int argc, char** argv) {
  long long want = number(argc, argv, 2, 10), made = 0;
  int error = 0;
  char line[64];
  pid_t* children = calloc((size_t)want, sizeof *children);
  while (made < want) {
    pid_t child = fork();
    if (child == 0) return sleep_forever();
    if (child < 0) {
      error = errno;
      break;
    }
    children[made++] = child;
  }
  for (long long i = 0; i < made; ++i) kill(children[i], SIGKILL);
  while (wait(NULL) > 0) {
  }
  snprintf(line, sizeof line, "forked %lld %s\n", made, errno_name(error));
  say(line);
  return 0;
}

// write FILE [BYTES]: creates or truncates FILE and fills it; the exit code is the errno.
static int write_file(int argc, char** argv) {
  static char block[1 << 16];
  if (argc < 3) return EINVAL;
  int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    dprintf(2, "open %s: %s\n", argv[2], strerror(errno));
    return errno;
  }
  for (long long left = number(argc, argv, 3, 1); left > 0;) {
    ssize_t n = write(fd, block, left < (long long)sizeof block ? (size_t)left : sizeof block);
    if (n < 0) {
      dprintf(2, "write %s: %s\n", argv[2], strerror(errno));
      return errno;
    }
    left -= n;
  }
  return close(fd) ? errno : 0;
}

// save FILE: creates or truncates FILE and fills it with stdin, to its end; the exit code is the errno.
static int save_stdin(int argc, char** argv) {
  char block[4096];
  if (argc < 3) return EINVAL;
  int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  for (ssize_t n; (n = read(0, block, sizeof block)) > 0;) write_all(fd, block, (size_t)n);
  return close(fd) ? errno : 0;
}

static int read_file(int argc, char** argv) {
  static char block[1 << 16];
  if (argc < 3) return EINVAL;
  int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    dprintf(2, "open %s: %s\n", argv[2], strerror(errno));
    return errno;
  }
  for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;) write_all(1, block, (size_t)n);
  close(fd);
  return 0;
}

static int bound(int type, unsigned short port) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int one = 1;
  int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  return bind(fd, (struct sockaddr*)&address, sizeof address) ? -1 : fd;
}

// serve PORT: answers every TCP connection and every UDP datagram (IPv4 and IPv6) with its own hostname and a newline.
static int serve(int argc, char** argv) {
  unsigned short port = (unsigned short)number(argc, argv, 2, 80);
  char answer[256 + 1];
  struct pollfd fds[2] = {{.fd = bound(SOCK_STREAM, port), .events = POLLIN},
                          {.fd = bound(SOCK_DGRAM, port), .events = POLLIN}};
  if (fds[0].fd < 0 || fds[1].fd < 0 || listen(fds[0].fd, 16)) {
    dprintf(2, "listen: %s\n", strerror(errno));
    return errno;
  }
  gethostname(answer, sizeof answer - 1);
  strcat(answer, "\n");
  say("ready\n");
  for (;;) {
    struct sockaddr_in6 peer;
    socklen_t length = sizeof peer;
    char question;
    if (poll(fds, 2, -1) < 0) continue;
    int connection = fds[0].revents ? accept(fds[0].fd, NULL, NULL) : -1;
    if (connection >= 0) {
      write_all(connection, answer, strlen(answer));
      close(connection);
    }
    if (fds[1].revents && recvfrom(fds[1].fd, &question, 1, 0, (struct sockaddr*)&peer, &length) >= 0)
      sendto(fds[1].fd, answer, strlen(answer), 0, (struct sockaddr*)&peer, length);
  }
}

// The exit code is the errno.
static int reach(int type, int argc, char** argv) {
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
  char answer[4096];
  if (argc < 4) return EINVAL;
  v4.sin_port = v6.sin6_port = htons((unsigned short)atoi(argv[3]));
  int is_v4 = inet_pton(AF_INET, argv[2], &v4.sin_addr) == 1;
  if (!is_v4 && inet_pton(AF_INET6, argv[2], &v6.sin6_addr) != 1) return EINVAL;
  int fd = socket(is_v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
  if (connect(fd, is_v4 ? (void*)&v4 : (void*)&v6, is_v4 ? sizeof v4 : sizeof v6)) {
    dprintf(2, "connect %s: %s\n", argv[2], strerror(errno));
    return errno;
  }
  if (type == SOCK_DGRAM) {
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t n = write(fd, "?", 1) == 1 ? read(fd, answer, sizeof answer) : -1;
    if (n < 0) return errno;
    write_all(1, answer, (size_t)n);
    return 0;
  }
  for (ssize_t n; (n = read(fd, answer, sizeof answer)) > 0;) write_all(1, answer, (size_t)n);
  return 0;
}

// connect ADDRESS PORT: prints what the peer sends. ask ADDRESS PORT: sends a datagram and prints the answer.
static int connect_to(int argc, char** argv) { return reach(SOCK_STREAM, argc, argv); }
static int ask(int argc, char** argv) { return reach(SOCK_DGRAM, argc, argv); }

static int send_signal(int argc, char** argv) {
  if (argc < 4) return EINVAL;
  return kill(atoi(argv[2]), atoi(argv[3])) ? errno : 0;
}

// ignore-term: only SIGKILL ends it.
static int ignore_term(void) {
  handle(SIGTERM, SIG_IGN);
  handle(SIGINT, SIG_IGN);
  say("ready\n");
  return sleep_forever();
}

// sleep: dies of TERM even as pid 1 of its namespace, where signals without a handler are ignored.
static void exit_of_signal(int signal_number) { _exit(128 + signal_number); }
static int sleep_until_term(void) {
  handle(SIGTERM, exit_of_signal);
  say("ready\n");
  return sleep_forever();
}

static int run_exit(int argc, char** argv) { return (int)number(argc, argv, 2, 0); }
static int run_ignore_term(int argc, char** argv) { (void)argc, (void)argv; return ignore_term(); }
static int run_sleep(int argc, char** argv) { (void)argc, (void)argv; return sleep_until_term(); }
static int run_tick(int argc, char** argv) { (void)argc, (void)argv; return tick(); }
static int run_stdin(int argc, char** argv) { (void)argc, (void)argv; return copy_stdin(); }
static int run_abort(int argc, char** argv) {
  raise((int)number(argc, argv, 2, SIGKILL));
  return 120;
}

int behave(int argc, char** argv) {
  static const struct {
    const char* name;
    int (*run)(int, char**);
  } modes[] = {{"sleep", run_sleep},     {"exit", run_exit},
               {"lines", lines},         {"emit", emit},
               {"writers", writers},
               {"spawn-orphans", spawn_orphans}, {"eat-memory", eat_memory},
               {"burn-cpu", burn_cpu},   {"send-packets", send_packets},
               {"write-direct", write_direct},
               {"ignore-term", run_ignore_term}, {"term-exit", term_exit},
               {"tick", run_tick},       {"fork-bomb", fork_bomb},
               {"write", write_file},    {"read", read_file},
               {"serve", serve},         {"connect", connect_to},
               {"ask", ask},
               {"signals", signals},     {"mount", mount_tmpfs},
               {"unmount", unmount},     {"stdin", run_stdin},
               {"put", put_text},        {"save", save_stdin},
               {"swap", swap},
               {"kill", send_signal},    {"die-of", run_abort}};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; ++i) {
    if (!strcmp(argv[1], modes[i].name)) return modes[i].run(argc, argv);
  }
  return -1;
}
