#include "textflag.h"

// The whole program of the first process of a jail; see stub_linux.go for what it reads.
// It is never called here: its bytes are copied into an executable of their own, so it may
// refer to nothing but itself and the two fixed addresses dataAt and opsAt.
//
// BX is the step at hand, R12 the process that was forked. The kernel keeps both.
TEXT ·stub(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ $0x8000000, BX // opsAt

next:
	MOVQ 0(BX), AX
	MOVQ 8(BX), DI
	MOVQ 16(BX), SI
	MOVQ 24(BX), DX
	MOVQ 32(BX), R10
	MOVQ 40(BX), R8
	MOVQ 48(BX), R9
	SYSCALL
	MOVQ 56(BX), CX
	CMPQ CX, $1          // thenGoOn: whatever came of it
	JEQ  step
	CMPQ CX, $2          // thenWait: again, until the forked process has ended
	JEQ  wait
	CMPQ AX, $-4095
	JCC  fail            // unsigned: -4095 to -1 are errors
	TESTQ CX, CX         // thenMust
	JEQ  step
	TESTQ AX, AX         // anything else: a fork, and the step the child goes on with
	JNE  parent
	MOVQ CX, BX
	JMP  next

parent:
	MOVQ AX, R12

step:
	ADDQ $64, BX
	JMP  next

wait:
	CMPQ AX, R12
	JEQ  step
	CMPQ AX, $-10        // ECHILD: there is nobody to wait for
	JNE  next

fail:
	NEGQ AX
	MOVQ $0x600000, SI   // dataAt: the report, which step and which errno
	MOVQ BX, 0(SI)
	MOVQ AX, 8(SI)
	MOVQ $1, AX          // write
	MOVQ $3, DI          // reportFD
	MOVQ $16, DX
	SYSCALL
	MOVQ $231, AX        // exit_group
	MOVQ $126, DI
	SYSCALL
	INT  $3

// func stubCode() unsafe.Pointer
TEXT ·stubCode(SB), NOSPLIT, $0-8
	LEAQ ·stub(SB), AX
	MOVQ AX, ret+0(FP)
	RET
