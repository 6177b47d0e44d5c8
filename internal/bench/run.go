package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cost is what a run of a process cost.
type cost struct {
	wall, cpu time.Duration
	kib       int64         // peak memory
	least     time.Duration // of the wall times of several runs
}

// once runs a command and throws its output away.
func once(args []string) (cost, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // that is what it is for
	var errs strings.Builder
	cmd.Stderr = &errs
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	c := cost{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.kib = int64(u.Maxrss) //nolint:unconvert // it is narrower on other machines
	}
	return c, nil
}

// beside runs commands in turn, so that all meet the same machine, and returns the median costs of each.
func beside(runs int, commands ...[]string) ([]cost, error) {
	all := make([][]cost, len(commands))
	for range runs {
		for i, args := range commands {
			c, err := once(args)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], c)
		}
	}
	list := make([]cost, len(commands))
	for i := range all {
		list[i] = median(all[i])
	}
	return list, nil
}

func median(list []cost) cost {
	mid := func(of func(cost) int64) int64 {
		var v []int64
		for _, c := range list {
			v = append(v, of(c))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	m := cost{
		wall: time.Duration(mid(func(c cost) int64 { return int64(c.wall) })),
		cpu:  time.Duration(mid(func(c cost) int64 { return int64(c.cpu) })),
		kib:  mid(func(c cost) int64 { return c.kib }),
	}
	m.least = m.wall
	for _, c := range list {
		m.least = min(m.least, c.wall)
	}
	return m
}

// there reports whether a command is installed.
func there(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// warm reads a file, so that it is in the page cache.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1<<20)
	for {
		if _, err := f.Read(b); err != nil {
			return nil
		}
	}
}
