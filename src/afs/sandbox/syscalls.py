"""The system calls a walled program may make, by group, with their numbers on x86-64 and aarch64.

What is not listed is refused: mounts, namespaces, modules, keys, bpf, io_uring, perf, ptrace, other processes' memory,
shared memory and message queues that outlive a process, memory files, device nodes, sockets other than a stream pair.
"""

from __future__ import annotations

import platform

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Architectures known here, with the number the kernel gives each."""
NEWEST = 451
"""Calls beyond this number did not exist when the table was written: the C library asks, hears "no such call" and
falls back."""

_TABLE = {
    "base": """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
preadv2 327 286, pwritev2 328 287, close 3 57, close_range 436 436, lseek 8 62, stat 4 -, fstat 5 80, lstat 6 -,
newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78,
getcwd 79 17, chdir 80 49, fchdir 81 50, getdents 78 -, getdents64 217 61, statfs 137 43, fstatfs 138 44, dup 32 23,
dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59, flock 73 32, fsync 74 82, fdatasync 75 83, fadvise64 221 223,
readahead 187 213, sendfile 40 71, copy_file_range 326 285, splice 275 76, tee 276 77, poll 7 -, ppoll 271 73,
select 23 -, pselect6 270 72, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, signalfd 282 -, signalfd4 289 74,
timerfd_create 283 85, timerfd_settime 286 86, timerfd_gettime 287 87, brk 12 214, mmap 9 222, munmap 11 215,
mremap 25 216, mprotect 10 226, madvise 28 233, mincore 27 232, msync 26 227, membarrier 324 283, pkey_alloc 330 289,
pkey_free 331 290, pkey_mprotect 329 288, rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139,
rt_sigpending 127 136, rt_sigtimedwait 128 137, rt_sigsuspend 130 133, sigaltstack 131 132, restart_syscall 219 128,
pause 34 -, alarm 37 -, getitimer 36 102, setitimer 38 103, timer_create 222 107, timer_settime 223 110,
timer_gettime 224 108, timer_getoverrun 225 109, timer_delete 226 111, nanosleep 35 101, clock_nanosleep 230 115,
clock_gettime 228 113, clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153, getrusage 98 165,
sysinfo 99 179, uname 63 160, getcpu 309 168, getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174,
geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158,
getpgrp 111 -, getpgid 121 155, getsid 124 156, getpriority 140 141, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126,
getrlimit 97 163, setrlimit 160 164, umask 95 166, prctl 157 167, arch_prctl 158 -, set_tid_address 218 96,
set_robust_list 273 99, rseq 334 293, futex 202 98, futex_waitv 449 449, getrandom 318 278, capget 125 90, exit 60 93,
exit_group 231 94, wait4 61 260, waitid 247 95, sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212,
sendmmsg 307 269, recvmmsg 299 243, shutdown 48 210, getsockname 51 204, getpeername 52 205, getsockopt 55 209,
setsockopt 54 208
""",
    "exec": "execve 59 221, execveat 322 281",
    "files": """
creat 85 -, mkdir 83 -, mkdirat 258 34, rmdir 84 -, rename 82 -, renameat 264 38, renameat2 316 276, link 86 -,
linkat 265 37, unlink 87 -, unlinkat 263 35, ftruncate 77 46, fallocate 285 47
""",
    "times": "utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88",
    "processes": "fork 57 -, vfork 58 -",
    "sessions": "setsid 112 157, setpgid 109 154",
    "signals": "kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240",
    "handles": "pidfd_open 434 434",
    "attributes": """
getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10, listxattr 194 11, llistxattr 195 12, flistxattr 196 13
""",
    "guarded": """
open 2 -, openat 257 56, fcntl 72 25, ioctl 16 29, prlimit64 302 261, clone 56 220, clone3 435 435, socketpair 53 199,
chmod 90 -, fchmod 91 52, fchmodat 268 53
""",
}


def _numbers(rows: str, column: int) -> dict[str, int]:
    cells = [row.split() for row in rows.replace("\n", " ").split(",")]
    return {cell[0]: int(cell[column]) for cell in cells if cell[column] != "-"}


def machine() -> str:
    """This machine's architecture, as the table names it."""
    return platform.machine()


def numbers(group: str, architecture: str) -> dict[str, int]:
    """Name and number of every call of a group; calls that an architecture lacks are left out."""
    return _numbers(_TABLE[group], 1 if architecture == "x86_64" else 2)
