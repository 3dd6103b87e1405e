//go:build linux && amd64

package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempt is one try to reach through a jail. It returns nil when it got through, else what
// stopped it.
type attempt struct {
	category string
	name     string
	try      func(b bait) error
	alone    bool // it may be answered with the end of the whole jail, so it gets one of its own
}

// corpus is all attempts, by category one file each.
func corpus() []attempt {
	return slices.Concat(fileAttempts(), writeAttempts(), deviceAttempts(), processAttempts(), privilegeAttempts(),
		namespaceAttempts(), kernelAttempts(), networkAttempts(), ipcAttempts(), limitAttempts())
}

// TestMain makes this test binary the program that attacks, when it is started as such.
func TestMain(m *testing.M) {
	switch role := os.Getenv("ORPINE_ATTACK"); role {
	case "":
		os.Exit(m.Run())
	case "victim":
		victim()
	case "fetch":
		fetch()
	case "parent":
		parent()
	case "probe":
		probe()
	case "all":
		attackAll(readBait())
	default:
		attackOne(role, readBait())
	}
}

func readBait() bait {
	var b bait
	if err := json.Unmarshal([]byte(os.Getenv("ORPINE_BAIT")), &b); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return b
}

// victim waits until its standard input ends, deaf to SIGUSR1.
func victim() {
	signal.Ignore(unix.SIGUSR1)
	word := new(uint64)
	*word = 0x63616e617279
	fmt.Println(uintptr(unsafe.Pointer(word)))
	_, _ = io.Copy(io.Discard, os.Stdin)
	if *word != 0x63616e617279 {
		os.Exit(3)
	}
	os.Exit(0)
}

// attackAll makes each attempt in a process of its own and prints what came of it.
func attackAll(b bait) {
	var mu sync.Mutex
	var all sync.WaitGroup
	slots := make(chan struct{}, 3)
	for _, a := range corpus() {
		if a.alone {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			line := attackInProcess(a, b)
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(line)
		})
	}
	all.Wait()
	os.Exit(0)
}

func attackInProcess(a attempt, b bait) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	bait, _ := json.Marshal(b)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = []string{"ORPINE_ATTACK=" + a.name, "ORPINE_BAIT=" + string(bait), "GOMAXPROCS=1"}
	out, err := cmd.Output()
	if line := strings.TrimSpace(string(out)); strings.HasPrefix(line, "LEAK") || strings.HasPrefix(line, "BLOCKED") {
		return line
	}
	return fmt.Sprintf("BLOCKED %s: %v", a.name, err) // killed for it
}

func attackOne(name string, b bait) {
	for _, a := range corpus() {
		if a.name != name {
			continue
		}
		if err := a.try(b); err != nil {
			fmt.Printf("BLOCKED %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("LEAK %s\n", name)
		}
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "no such attempt:", name)
	os.Exit(2)
}

// sys makes a system call.
func sys(nr uintptr, args ...uintptr) error {
	_, err := sysFD(nr, args...)
	return err
}

func sysFD(nr uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

// reached says that the kernel went to work on a call, even if it did not like its arguments:
// whoever has no right to it is refused before that.
func reached(nr uintptr, args ...uintptr) error {
	switch err := sys(nr, args...); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EACCES):
		return err
	}
	return nil
}

func str(s string) uintptr {
	p, _ := unix.BytePtrFromString(s)
	keep = append(keep, p)
	return uintptr(unsafe.Pointer(p))
}

func ptr[T any](v *T) uintptr {
	keep = append(keep, v)
	return uintptr(unsafe.Pointer(v))
}

// keep holds what system calls were given by address.
var keep []any

var errNothing = errors.New("there was nothing to find")

// read reports whether a file can be read and has something in it.
func read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	n, err := f.Read(make([]byte, 1))
	if n == 0 {
		return errors.Join(errNothing, err)
	}
	return nil
}

// list reports whether a directory has something in it.
func list(path string) error {
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) == 0 {
		return errNothing
	}
	return err
}

// open reports whether a file can be opened.
func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_NOCTTY|unix.O_NONBLOCK, 0o600)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
