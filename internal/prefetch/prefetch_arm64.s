#include "textflag.h"

// func One(p unsafe.Pointer)
TEXT ·One(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET

// func each(list *unsafe.Pointer, n int)
TEXT ·each(SB), NOSPLIT, $0-16
	MOVD list+0(FP), R0
	MOVD n+8(FP), R1

each:
	SUBS   $1, R1, R1
	BLT    done
	MOVD.P 8(R0), R2
	PRFM   (R2), PLDL1KEEP
	B      each

done:
	RET

// func eachFirst(list *unsafe.Pointer, n int)
TEXT ·eachFirst(SB), NOSPLIT, $0-16
	MOVD list+0(FP), R0
	MOVD n+8(FP), R1

each:
	SUBS   $1, R1, R1
	BLT    done
	MOVD.P 8(R0), R2
	PRFM   (R2), PLDL1KEEP
	ADD    $128, R2
	PRFM   (R2), PLDL1KEEP
	B      each

done:
	RET

// func Eight(p, q, r, s unsafe.Pointer)
TEXT ·Eight(SB), NOSPLIT, $0-32
	MOVD p+0(FP), R0
	MOVD q+8(FP), R1
	MOVD r+16(FP), R2
	MOVD s+24(FP), R3
	PRFM (R0), PLDL1KEEP
	ADD  $64, R0
	PRFM (R0), PLDL1KEEP
	ADD  $64, R0
	PRFM (R0), PLDL1KEEP
	ADD  $64, R0
	PRFM (R0), PLDL1KEEP
	ADD  $64, R0
	PRFM (R0), PLDL1KEEP
	PRFM (R1), PLDL1KEEP
	PRFM (R2), PLDL1KEEP
	PRFM (R3), PLDL1KEEP
	RET
