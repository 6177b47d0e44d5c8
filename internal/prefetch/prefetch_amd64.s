#include "textflag.h"

// func One(p unsafe.Pointer)
TEXT ·One(SB), NOSPLIT, $0-8
	MOVQ       p+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func each(list *unsafe.Pointer, n int)
TEXT ·each(SB), NOSPLIT, $0-16
	MOVQ list+0(FP), AX
	MOVQ n+8(FP), CX

each:
	DECQ       CX
	JLT        done
	MOVQ       (AX), BX
	PREFETCHT0 (BX)
	ADDQ       $8, AX
	JMP        each

done:
	RET

// func eachFirst(list *unsafe.Pointer, n int)
TEXT ·eachFirst(SB), NOSPLIT, $0-16
	MOVQ list+0(FP), AX
	MOVQ n+8(FP), CX

each:
	DECQ       CX
	JLT        done
	MOVQ       (AX), BX
	PREFETCHT0 (BX)
	PREFETCHT0 128(BX)
	ADDQ       $8, AX
	JMP        each

done:
	RET

// func Eight(p, q, r, s unsafe.Pointer)
TEXT ·Eight(SB), NOSPLIT, $0-32
	MOVQ       p+0(FP), AX
	MOVQ       q+8(FP), BX
	MOVQ       r+16(FP), CX
	MOVQ       s+24(FP), DX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	PREFETCHT0 192(AX)
	PREFETCHT0 256(AX)
	PREFETCHT0 (BX)
	PREFETCHT0 (CX)
	PREFETCHT0 (DX)
	RET
