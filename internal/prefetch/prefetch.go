// Package prefetch asks the processor to bring memory near before it is needed, without waiting for it. With many connections, each packet looks
// at memory that was last looked at long ago: waiting for it takes longer than what is done with it. The language has no word for it,
// so there is a line of assembly for each processor that is known; elsewhere nothing happens.
package prefetch

// Line is the size of a line of the processor's cache that is asked for, in bytes.
const Line = 64
