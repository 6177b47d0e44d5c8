//go:build !linux || !(amd64 || arm64)

package main

// hugePages does nothing where it is not known how to ask for them.
func hugePages() {}
