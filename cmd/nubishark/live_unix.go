//go:build unix

package main

import (
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"
)

// asked yields a value for each SIGUSR1.
func asked() <-chan struct{} {
	signals, out := make(chan os.Signal, 1), make(chan struct{}, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for range signals {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

// dropRoot becomes the user who called sudo, if one did, and returns the name. keep stays root.
func dropRoot(keep bool) (string, error) {
	if keep || os.Geteuid() != 0 || os.Getenv("SUDO_UID") == "" {
		return "", nil
	}
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil {
		return "", fmt.Errorf("SUDO_UID: %w", err)
	}
	if uid == 0 {
		return "", nil
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return "", fmt.Errorf("SUDO_GID: %w", err)
	}
	groups, name := []int{gid}, strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
		if ids, err := u.GroupIds(); err == nil {
			groups = groups[:0]
			for _, id := range ids {
				if n, err := strconv.Atoi(id); err == nil {
					groups = append(groups, n)
				}
			}
		}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return "", err
	}
	if err := syscall.Setgid(gid); err != nil {
		return "", err
	}
	return name, syscall.Setuid(uid)
}
