//go:build !unix

package main

// asked yields nothing: there is no SIGUSR1.
func asked() <-chan struct{} { return nil }

// dropRoot does nothing: there is no root.
func dropRoot(bool) (string, error) { return "", nil }
