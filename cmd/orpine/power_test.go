//go:build linux

package main_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// cuts and cutIn are of the power cut tests; the second one is set by the first process
// of a test for the one in which it runs.
var (
	cuts  = flag.Int("cuts", 0, "how many times the power is cut; 0 is a few")
	cutIn = flag.String("cut-in", "", "the directory in which the power cut tests keep their disk; for their own use")
)

// TestPowerCut cuts the power while a process commits: the file system, on a disk of its
// own, stops at once and forgets what it has not flushed. What was acknowledged must be
// there when the power comes back. Commits that only survive the death of their process
// must be lost at least once, else the test proves nothing.
//
// The disk is an image, mounted in a mount namespace that only this test is in: however
// the test ends, the kernel unmounts it and frees its loop device.
func TestPowerCut(t *testing.T) {
	if *cutIn != "" {
		cutPower(t)
		return
	}
	if reason := noDisk(); reason != "" {
		t.Skip("no power is cut: " + reason)
	}
	t.Parallel()
	binary, err := effectBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(binary) // it goes away however this process ends
	n := 10
	if testing.Short() {
		n = 3
	}
	if *cuts > 0 {
		n = *cuts
	}
	args := []string{"-test.run=^TestPowerCut$", "-test.v", "-test.timeout=24h", "-cut-in=" + dir, fmt.Sprint("-cuts=", n), fmt.Sprint("-seed=", *stormSeed)}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the death signal is tied to the thread
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	for line := range bytes.Lines(out) {
		if text := strings.TrimSpace(string(line)); strings.HasPrefix(text, "power_test.go") || strings.HasPrefix(text, "storm_test.go") || err != nil {
			t.Log(text)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// noDisk says why no disk can be made here; "" if one can.
func noDisk() string {
	if os.Getuid() != 0 {
		return "only root can mount"
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return "there are no loop devices"
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "there is no " + tool
		}
	}
	return ""
}

// disk is an ext4 file system in an image.
type disk struct {
	t            *testing.T
	image, mount string
}

func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	at, err := os.MkdirTemp(dir, "disk") //nolint:usetesting // it must go away even if this process is killed
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, image: filepath.Join(at, "image"), mount: filepath.Join(at, "mount")}
	t.Cleanup(func() { _ = os.RemoveAll(at) })
	err = os.Mkdir(d.mount, 0o700)
	if err == nil {
		err = os.WriteFile(d.image, nil, 0o600)
	}
	if err == nil {
		err = os.Truncate(d.image, 128<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.must("mkfs.ext4", "-q", d.image)
	return d
}

func (d *disk) must(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// on mounts the disk, which replays the journal of its file system.
func (d *disk) on() {
	d.t.Helper()
	d.must("mount", "-o", "loop", d.image, d.mount)
}

// off unmounts the disk. Right after the death of a process that used it, the kernel may
// not be done with it.
func (d *disk) off() {
	d.t.Helper()
	var out []byte
	for range 100 {
		var err error
		if out, err = exec.Command("umount", d.mount).CombinedOutput(); err == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	d.t.Fatalf("umount: %s", out)
}

// The request that stops an ext4 file system, and the way it does: without flushing its
// journal, as a power cut would. They are in the kernel's include/uapi/linux/ext4.h.
const (
	ext4Shutdown        = 0x8004587d
	goingFlagNoLogFlush = 2
)

// cut cuts the power.
func (d *disk) cut() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was not written
	flags := uint32(goingFlagNoLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 { //nolint:gosec // an ioctl takes a pointer
		return errno
	}
	return nil
}

// cutPower is the test itself, in its own mount namespace.
func cutPower(t *testing.T) {
	seed := *stormSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	led := newStormLedger(t)
	began := time.Now()
	full := cutAgain(t, led, "full", *cuts, rand.New(rand.NewPCG(seed, 0)))
	for _, p := range full.problems {
		t.Errorf("%s (seed %d)", p, seed)
	}
	secs := time.Since(began).Seconds()
	t.Logf("%d power cuts in %.0f s, seed %d: %s", *cuts, secs, seed, full)
	if full.steps == 0 {
		t.Error("no step was acknowledged before a cut: the test shows nothing")
	}
	few := max(5, *cuts/10)
	process := cutAgain(t, led, "process", few, rand.New(rand.NewPCG(seed, 1)))
	t.Logf("%d power cuts where commits only survive their process: %d of %d acknowledgements lost", few, process.lost, process.acks+process.lost)
	if process.lost == 0 {
		t.Error("nothing was lost where it should be: the cuts cut nothing")
	}
}

// life is how many power cuts a data directory goes through.
const life = 5

// cutAgain cuts the power n times.
func cutAgain(t *testing.T, led *stormLedger, flush string, n int, r *rand.Rand) (sum tally) {
	d := newDisk(t, filepath.Dir(*cutIn+"/"))
	var dir *directory
	for i := range n {
		d.on()
		if i%life == 0 {
			dir = directoryAt(t, led, flush, filepath.Join(d.mount, fmt.Sprint("data", i)))
		}
		dir.powerless(d, time.Duration(r.Float64()*float64(200*time.Millisecond)))
		d.off()
		d.on()
		lost, named := dir.missing()
		if flush == "full" {
			sum.problems = append(sum.problems, named...)
		}
		if flush == "full" && (i%life == life-1 || i == n-1) {
			dir.calm()
			found := dir.verify()
			sum.problems = append(sum.problems, found.problems...)
			sum.add(found)
		} else if flush != "full" {
			sum.lost += lost
			sum.acks += len(dir.acks) + len(dir.started) - lost
			dir = directoryAt(t, led, flush, filepath.Join(d.mount, fmt.Sprint("next", i)))
		}
		if i%life == life-1 {
			if err := os.RemoveAll(dir.path); err != nil {
				t.Fatal(err)
			}
		}
		d.off()
	}
	return sum
}

// powerless is one process under which the power is cut.
func (d *directory) powerless(on *disk, after time.Duration) {
	ready, cut := make(chan struct{}, 1), make(chan struct{})
	cmd, life, out := d.launch("storm", func(line string) {
		if line == "ready" {
			ready <- struct{}{}
		}
		d.hear(line)
	})
	if cmd == nil {
		return
	}
	go func() {
		defer close(cut)
		select {
		case <-ready:
			<-time.After(after)
		case <-time.After(time.Minute):
		}
		if err := errors.Join(freeze(cmd.Process.Pid), on.cut()); err != nil {
			d.t.Errorf("cut the power: %v", err)
		}
		_ = cmd.Process.Kill()
	}()
	_ = cmd.Wait()
	<-cut
	_ = life.Close()
	if text := out.String(); strings.Contains(text, "panic") || strings.Contains(text, "SIG") {
		d.t.Errorf("the process made of the power cut: %s", text)
	}
}

// freeze stops a process where it is: when the power is cut, nobody acknowledges anything
// any more. A thread that is inside the kernel, such as in a flush, stops behind it.
func freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for range 1000 {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(stats, awake) {
			return nil
		}
		<-time.After(50 * time.Microsecond)
	}
	return errors.New("the process does not stop")
}

// awake reports whether a thread is neither stopped nor in the kernel.
func awake(stat string) bool {
	data, err := os.ReadFile(stat)
	if err != nil {
		return false // it has ended
	}
	_, rest, _ := bytes.Cut(data, []byte(") "))
	return len(rest) > 0 && (rest[0] == 'R' || rest[0] == 'S')
}

// missing reads the directory after the power came back and says how many
// acknowledgements are not there, and which.
func (d *directory) missing() (int, []string) {
	probe := directoryAt(d.t, d.led, d.flush, d.path)
	maps.Copy(probe.acks, d.acks)
	maps.Copy(probe.started, d.started)
	maps.Copy(probe.signals, d.signals)
	found := probe.verify()
	return found.lost, slices.DeleteFunc(found.problems, func(p string) bool {
		return !strings.Contains(p, "lost") && !strings.Contains(p, "damaged:") && !strings.Contains(p, "cannot be read")
	})
}
