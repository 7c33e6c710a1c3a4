// The kernel of User-Mode Linux 6.1 keeps 2696 bytes of each process's extended processor
// state (HOST_FP_SIZE of arch/x86/um/user-offsets.c), which ends before the state of
// Intel's AMX. A host whose processor has AMX refuses to set less than all of it
// (xstateregs_set in arch/x86/kernel/fpu/regset.c: EFAULT), and the machine dies as its
// first process starts. Preloaded into that kernel, this ptrace(2) completes what it sets
// with what the host has. No guest uses AMX: a process has to ask for it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	// Not on the stack: those of the kernel's threads are small. It has one CPU and is
	// not preempted here.
	static unsigned char whole[64 << 10];
	va_list args;
	va_start(args, request);
	int pid = va_arg(args, int);
	void *address = va_arg(args, void *), *data = va_arg(args, void *);
	va_end(args);
	if (!next)
		next = dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE) {
		struct iovec *given = data, all = {whole, sizeof whole};
		if (next(PTRACE_GETREGSET, pid, address, &all) < 0)
			return -1;
		if (all.iov_len > given->iov_len) {
			memcpy(whole, given->iov_base, given->iov_len);
			return next(PTRACE_SETREGSET, pid, address, &all);
		}
	}
	return next(request, pid, address, data);
}
