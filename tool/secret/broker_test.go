package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/secret"
)

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "FROM_FILE"), "of a file\n", 0o600)
	write(t, filepath.Join(dir, "OPEN"), "for all to read", 0o644)
	write(t, filepath.Join(dir, "GROUP"), "for a group", 0o640)
	write(t, filepath.Join(dir, "HUGE"), strings.Repeat("x", 70<<10), 0o600)
	write(t, filepath.Join(dir, "BOTH"), "the second", 0o600)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "of another place", 0o600)
	if err := os.Symlink(outside, filepath.Join(dir, "LINK")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "DIR"), 0o700); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"TOKEN": "abcdefgh", "HIDDEN": "not for you", "SHORT": "12345", "BOTH": "the first", "NESTED": "${secret:TOKEN}", "EMPTY": ""}
	b := secret.New(
		secret.Environment(func(n string) (string, bool) { v, ok := environment[n]; return v, ok }, "TOKEN", "SHORT", "BOTH", "NESTED", "EMPTY"),
		secret.Directory(dir), secret.Directory(filepath.Join(dir, "nowhere")))
	for _, c := range []struct {
		text, want string
		err        error
	}{
		{"", "", nil},
		{"none at all $ { } ${x}", "none at all $ { } ${x}", nil},
		{"Bearer ${secret:TOKEN}", "Bearer abcdefgh", nil},
		{"${secret:TOKEN}:${secret:FROM_FILE}${secret:TOKEN}", "abcdefgh:of a fileabcdefgh", nil},
		{"${secret:GROUP}", "for a group", nil},
		{"${secret:BOTH}", "the first", nil},
		{"${secret:NESTED}", "${secret:TOKEN}", nil},
		{"${secret:HIDDEN}", "", durable.ErrNotFound},
		{"${secret:EMPTY}", "", durable.ErrNotFound},
		{"${secret:SHORT}", "", durable.ErrInvalid},
		{"${secret:HUGE}", "", durable.ErrInvalid},
		{"${secret:OPEN}", "", durable.ErrDenied},
		{"${secret:LINK}", "", durable.ErrInternal},
		{"${secret:DIR}", "", durable.ErrInvalid},
		{"${secret:../outside}", "", durable.ErrInvalid},
		{"${secret:}", "", durable.ErrInvalid},
		{"${secret:TOKEN", "", durable.ErrInvalid},
		{"${secret:A B}", "", durable.ErrInvalid},
	} {
		got, err := b.Expand(t.Context(), c.text)
		if got != c.want || c.err == nil && err != nil || c.err != nil && durable.CodeOf(err) != durable.Code(c.err.Error()) {
			t.Errorf("%s: got %q, %v; want %q, %v", c.text, got, err, c.want, c.err)
		}
		if err != nil && (strings.Contains(err.Error(), "12345") || strings.Contains(err.Error(), "for all")) {
			t.Errorf("%s: the error tells the value: %v", c.text, err)
		}
	}
	names, err := secret.Names("${secret:B} ${secret:A} ${secret:B}")
	if err != nil || !slices.Equal(names, []string{"B", "A"}) {
		t.Errorf("names: %v, %v", names, err)
	}
	if got := b.Redactor().Text("abcdefgh, of a file, not for you"); got != "[secret:TOKEN], [secret:FROM_FILE], not for you" {
		t.Errorf("redacted: %s", got)
	}
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	path, keyPath := filepath.Join(dir, secret.StoreFile), filepath.Join(dir, "key")
	key, err := secret.MakeKeyFile(keyPath)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secret.MakeKeyFile(keyPath); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("a second key file: %v", err)
	}
	if again, err := secret.KeyFile(keyPath); err != nil || fmt.Sprintf("%v %+v %#v %s", again, again, again, key) != "[key] [key] [key] [key]" {
		t.Errorf("the key prints as %#v, %v", again, err)
	}
	s, err := secret.OpenStore(path, key)
	if err != nil {
		t.Fatal(err)
	}
	binary := "\xff\x00binary\xfe"
	for name, value := range map[string]string{"A": "value of A", "B": binary} {
		if err := s.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte("value of A")) {
		t.Errorf("the file tells a value: %v", err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	other, err := secret.OpenStore(path, key) // as another process does
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Set("C", "value of C"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("A"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("A"); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("delete twice: %v", err)
	}
	if names, err := other.Names(); err != nil || !slices.Equal(names, []string{"B", "C"}) {
		t.Errorf("names %v, %v", names, err)
	}
	b := secret.New(s)
	if got, err := b.Expand(t.Context(), "${secret:B}|${secret:C}"); err != nil || got != binary+"|value of C" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, c := range []struct{ name, value string }{{"A", "short"}, {"a b", "long enough"}, {"", "long enough"}, {"A", strings.Repeat("x", 65<<10)}} {
		if err := s.Set(c.name, c.value); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("set %q: %v", c.name, err)
		}
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 1 { // the lock
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, secret.StoreFile)
	key, err := secret.KeyOf("correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	s, err := secret.OpenStore(path, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set("A", "value of A"); err != nil {
		t.Fatal(err)
	}
	wrong, err := secret.KeyOf("incorrect horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secret.OpenStore(path, wrong); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("another key: %v", err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(good); i += 17 { // a bit flips
		bad := bytes.Clone(good)
		bad[i] ^= 1
		write(t, path, string(bad), 0o600)
		if o, err := secret.OpenStore(path, key); err == nil {
			if v, found, err := o.Lookup(t.Context(), "A"); v != "value of A" || !found || err != nil {
				t.Errorf("byte %d changed: got %q, %v", i, v, err)
			}
		}
	}
	for _, text := range []string{"", "{}", "not JSON", string(good[:len(good)/2]), `{"version":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`} {
		write(t, path, text, 0o600)
		if _, err := secret.OpenStore(path, key); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := secret.KeyOf("too short"); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a short key: %v", err)
	}
	write(t, filepath.Join(dir, "key"), "correct horse battery staple", 0o640)
	if _, err := secret.KeyFile(filepath.Join(dir, "key")); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("a key that a group can read: %v", err)
	}
	if _, err := secret.KeyFile(filepath.Join(dir, "nowhere")); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("no key file: %v", err)
	}
}

// Writers in several stores over one file lose nothing.
func TestStoreTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), secret.StoreFile)
	key, err := secret.KeyOf("correct horse battery staple")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		s, err := secret.OpenStore(path, key)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for j := range 5 {
				if err := s.Set(fmt.Sprintf("S%d_%d", i, j), "some value"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := secret.OpenStore(path, key)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := s.Names(); err != nil || len(names) != 20 {
		t.Errorf("%d names, %v", len(names), err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"${secret:A}", "${secret:", "x${secret:A}y${secret:B}", "${secret:${secret:A}}", "$${secret:A}"} {
		f.Add(s)
	}
	b := secret.New(secret.Environment(func(string) (string, bool) { return "a value", true }, "A"))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := b.Expand(t.Context(), text)
		names, bad := secret.Names(text)
		if err == nil && bad != nil {
			t.Errorf("%q expands and has no names: %v", text, bad)
		}
		if err == nil && got != strings.ReplaceAll(text, "${secret:A}", "a value") {
			t.Errorf("%q became %q (names %v)", text, got, names)
		}
	})
}
