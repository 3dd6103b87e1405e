package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
)

type doctorCmd struct {
	Verify bool `help:"Read and check every entry, blob and run of the data directory."`
}

// Help implements kong.HelpProvider.
func (doctorCmd) Help() string {
	return `Looks at the data directory (permissions, free space, whether it opens, the rows of its runs)
and at which models can be used. With --verify it reads all that is stored: the pages of the
database, every entry against its chain, every blob against its hash, every run against its
entries; each thing that is damaged is named. It works beside a process that drives the
directory and changes no run. Exit code 3 when something is broken.

Examples:
  orpine doctor
  orpine doctor --verify --data /var/lib/orpine -o json`
}

// finding is the outcome of one check.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// The statuses of a finding.
const (
	sound  = "ok"
	note   = "note"
	broken = "broken"
)

// lowSpace is the free space in bytes under which doctor warns.
const lowSpace = 256 << 20

// Run looks for trouble.
func (c *doctorCmd) Run(ctx context.Context, a *app) error {
	if err := a.onlyHere("doctor"); err != nil {
		return err
	}
	findings := slices.Concat(c.directory(ctx, a), c.models(a), sandboxes())
	l := listing{head: []string{"CHECK", "STATUS", "DETAIL"}}
	count := 0
	for _, f := range findings {
		l.rows = append(l.rows, []string{f.Check, f.Status, f.Detail})
		l.names = append(l.names, f.Check)
		l.values = append(l.values, f)
		if f.Status == broken {
			count++
		}
	}
	if err := a.print(l); err != nil {
		return err
	}
	if count > 0 {
		return environmentError{fmt.Errorf("%d of %d checks found something broken", count, len(findings))}
	}
	return nil
}

func (c *doctorCmd) directory(ctx context.Context, a *app) []finding {
	dir := a.flags.Data
	findings := []finding{writable(dir), space(dir)}
	r, err := orpine.OpenReader(ctx, dir)
	if errors.Is(err, durable.ErrNotFound) {
		return append(findings, finding{"runs", sound, "none yet"})
	}
	if err != nil {
		return append(findings, finding{"database", broken, err.Error()})
	}
	report, err := r.Verify(ctx, orpine.Verification{Deep: c.Verify, Progress: a.verifying()})
	if err != nil {
		return append(findings, finding{"database", broken, closing(err, r).Error()})
	}
	detail := counted(report.Runs, "run") + "; --verify reads all of it"
	if c.Verify {
		detail = fmt.Sprintf("%s, %s and %s read", counted(report.Runs, "run"), counted(report.Entries, "entry"), counted(report.Blobs, "blob"))
	}
	findings = append(findings, finding{"database", sound, detail})
	for _, problem := range report.Problems {
		findings = append(findings, finding{"integrity", broken, problem})
	}
	for _, text := range report.Notes {
		findings = append(findings, finding{"integrity", note, text})
	}
	findings = append(findings, finding{"runs", sound, fmt.Sprintf("%d unfinished, %d wait, %d blocked", report.Unfinished, report.Waiting, report.Blocked)})
	if err := r.Close(); err != nil {
		findings = append(findings, finding{"database", broken, err.Error()})
	}
	return findings
}

// sandboxes says what can hold the processes of tools on this machine.
func sandboxes() []finding {
	var findings []finding
	for _, r := range sandbox.Probe() {
		f := finding{"sandbox " + string(r.Tier), sound, orDash(strings.Join(r.Notes, "; "))}
		if r.Err != nil {
			f = finding{f.Check, note, oneLine(r.Err.Error(), 500)}
		}
		findings = append(findings, f)
	}
	return findings
}

// verifying tells on standard error how far a long verification is.
func (a *app) verifying() func(done, total int) {
	const every = 2 * time.Second
	told := time.Now()
	return func(done, total int) {
		if time.Since(told) >= every {
			told = time.Now()
			fmt.Fprintf(a.stderr, "verify: %d of %d runs\n", done, total)
		}
	}
}

// writable checks the directory, or the nearest one above it that exists.
func writable(dir string) finding {
	at := dir
	for {
		info, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
			at = filepath.Dir(at)
			continue
		}
		switch {
		case err != nil:
			return finding{"data directory", broken, err.Error()}
		case !info.IsDir():
			return finding{"data directory", broken, at + " is not a directory"}
		}
		break
	}
	const write = 2 // W_OK of access(2)
	if err := syscall.Access(at, write); err != nil {
		return finding{"data directory", broken, fmt.Sprintf("%s cannot be written: %v; choose another with --data", at, err)}
	}
	if at != dir {
		return finding{"data directory", sound, dir + " will be created"}
	}
	return finding{"data directory", sound, dir}
}

func space(dir string) finding {
	var s syscall.Statfs_t
	for syscall.Statfs(dir, &s) != nil {
		up := filepath.Dir(dir)
		if up == dir {
			return finding{"free space", note, "cannot be read"}
		}
		dir = up
	}
	free := int64(s.Bavail) * int64(s.Bsize) //nolint:gosec,unconvert // its types differ between systems; one of 8 EiB is not ours to worry about
	detail := fmt.Sprintf("%d MB", free>>20)
	if free < lowSpace {
		return finding{"free space", broken, detail + ": too little to work with"}
	}
	return finding{"free space", sound, detail}
}

func (c *doctorCmd) models(a *app) []finding {
	var findings []finding
	for _, name := range []string{"openai/any", "anthropic/any", "builtin/outline"} {
		f := finding{"model " + name, sound, "can be used"}
		if err := a.checkModel(name); err != nil {
			f.Status, f.Detail = note, oneLine(err.Error(), 160)
		}
		findings = append(findings, f)
	}
	return findings
}
