package sandbox_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/orpine-run/orpine/sandbox"
)

func TestTry(t *testing.T) {
	began := time.Now()
	s, err := sandbox.New(sandbox.Config{})
	t.Log("probe", time.Since(began), err)
	if err != nil {
		t.Fatal(err)
	}
	ws := t.TempDir()
	for _, cmd := range []string{"echo hello", "id; ls -la / /dev /etc /tmp /proc $PWD; env; cat /proc/self/status /proc/self/mountinfo; echo x >f; ls -la; exit 3", "kill -SEGV $$"} {
		began = time.Now()
		var out, errs bytes.Buffer
		exit, err := s.Run(t.Context(), sandbox.Spec{Command: []string{"sh", "-c", cmd}, Workspace: ws}, sandbox.Streams{Out: &out, Err: &errs})
		t.Log(time.Since(began), exit, err, out.String(), errs.String())
	}
	_, err = s.Run(t.Context(), sandbox.Spec{Command: []string{"nothere"}, Workspace: ws}, sandbox.Streams{})
	t.Log(err)
}

func BenchmarkJailStart(b *testing.B) {
	s, err := sandbox.New(sandbox.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ws := b.TempDir()
	for b.Loop() {
		exit, err := s.Run(b.Context(), sandbox.Spec{Command: []string{"/bin/true"}, Workspace: ws}, sandbox.Streams{})
		if err != nil || exit.Code != 0 {
			b.Fatal(exit, err)
		}
	}
}
