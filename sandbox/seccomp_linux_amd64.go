package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	x32       = 0x4000_0000 // __X32_SYSCALL_BIT: the same call by another number
)

// archRules are for the calls that only this architecture has.
func archRules() filter {
	var f filter
	f.deny(unix.EPERM, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_USTAT, unix.SYS_SYSFS, unix.SYS__SYSCTL,
		unix.SYS_CREATE_MODULE, unix.SYS_GET_KERNEL_SYMS, unix.SYS_QUERY_MODULE)
	f.denyIf(unix.EPERM, unix.SYS_CHMOD, bits(1, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_CREAT, bits(1, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_MKNOD, bits(1, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_OPEN, bits(1, created), bits(2, otherUser))
	return f
}
