package memory_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// shelf is durable.Blobs in memory; it counts what it is given.
type shelf struct {
	mu    sync.Mutex
	data  map[string][]byte
	bytes int // put and not there before
	gets  int
	fail  error
}

func (s *shelf) Put(_ context.Context, data []byte) (durable.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return durable.Ref{}, s.fail
	}
	sum := sha256.Sum256(data)
	hash := hex.EncodeToString(sum[:])
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	if _, ok := s.data[hash]; !ok {
		s.data[hash] = bytes.Clone(data)
		s.bytes += len(data)
	}
	return durable.Ref{Hash: hash, Bytes: len(data)}, nil
}

func (s *shelf) Get(_ context.Context, ref durable.Ref) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	data, ok := s.data[ref.Hash]
	if !ok {
		return nil, durable.Errorf(durable.CodeNotFound, "no blob %s", ref.Hash)
	}
	return data, nil
}

func say(text string) memory.Message { return memory.Message{Message: model.Text(model.User, text)} }

func add(t *testing.T, threads *memory.Threads, s *shelf, head memory.Head, messages ...memory.Message) memory.Head {
	t.Helper()
	next, err := threads.Append(t.Context(), s, head, messages...)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func texts(t *testing.T, threads *memory.Threads, s *shelf, head memory.Head) string {
	t.Helper()
	messages, err := threads.Load(t.Context(), s, head)
	if err != nil {
		t.Fatal(err)
	}
	if len(messages) != head.Messages {
		t.Errorf("the head counts %d messages, there are %d", head.Messages, len(messages))
	}
	var list []string
	for _, m := range messages {
		list = append(list, m.Text())
	}
	return strings.Join(list, " ")
}

func TestThread(t *testing.T) {
	var threads memory.Threads
	var s shelf
	if got := texts(t, &threads, &s, memory.Head{}); got != "" {
		t.Errorf("an empty thread holds %q", got)
	}
	one := add(t, &threads, &s, memory.Head{}, say("a"))
	two := add(t, &threads, &s, one, say("b"), say("c"))
	left, right := add(t, &threads, &s, two, say("left")), add(t, &threads, &s, two, say("right"))
	longer := add(t, &threads, &s, left, say("end"))
	for name, reader := range map[string]*memory.Threads{"the one that wrote": &threads, "a fresh one": {}} {
		for head, want := range map[memory.Head]string{one: "a", two: "a b c", left: "a b c left", right: "a b c right", longer: "a b c left end"} {
			if got := texts(t, reader, &s, head); got != want {
				t.Errorf("%s reads %q, want %q", name, got, want)
			}
		}
	}
	if n := len(s.data); n != 5 {
		t.Errorf("five appends made %d nodes", n)
	}
}

// TestForksKeepApart: what is said on one fork is not heard on another, wherever the
// thread forks.
func TestForksKeepApart(t *testing.T) {
	var threads memory.Threads
	var s shelf
	var head memory.Head
	var heard []string
	for i := range 20 {
		heard = append(heard, fmt.Sprint(i))
		head = add(t, &threads, &s, head, say(fmt.Sprint(i)))
		left := add(t, &threads, &s, head, say("left"))
		right := add(t, &threads, &s, head, say("right"))
		for fork, last := range map[memory.Head]string{left: " left", right: " right", head: ""} {
			if got, want := texts(t, &threads, &s, fork), strings.Join(heard, " ")+last; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
}

// TestSameAgain: a step that runs twice makes the same head and stores nothing new.
func TestSameAgain(t *testing.T) {
	var s shelf
	var first, second memory.Threads
	build := func(threads *memory.Threads) memory.Head {
		head := add(t, threads, &s, memory.Head{}, say("a"))
		return add(t, threads, &s, head, say("b"), say("c"))
	}
	one := build(&first)
	stored := s.bytes
	if two := build(&second); two != one {
		t.Errorf("the same messages gave %v and %v", one, two)
	}
	if again := build(&first); again != one || s.bytes != stored {
		t.Errorf("again: %v, %d bytes instead of %d", again, s.bytes, stored)
	}
	if other := add(t, &first, &s, memory.Head{}, say("a"), say("b"), say("c")); other == one {
		t.Error("another history has the same head")
	}
}

// TestHeadIsJSON: a head travels through steps.
func TestHeadIsJSON(t *testing.T) {
	var threads memory.Threads
	head := add(t, &threads, &shelf{}, memory.Head{}, say("a"))
	data, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	var back memory.Head
	if err := json.Unmarshal(data, &back); err != nil || back != head {
		t.Errorf("%s came back as %+v, error %v", data, back, err)
	}
}

// TestContent: content that is a blob is in the thread once, by name, and whole for
// who reads it.
func TestContent(t *testing.T) {
	var threads memory.Threads
	var s shelf
	content := strings.Repeat("a long result ", 1000)
	ref, err := s.Put(t.Context(), []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	before := s.bytes
	result := memory.Message{Content: &ref, Message: model.Message{Role: model.ToolRole, Parts: []model.Part{
		{Result: &model.ToolResult{CallID: "c1", Name: "look"}},
	}}}
	head := add(t, &threads, &s, memory.Head{}, say("q"), result)
	if grown := s.bytes - before; grown > 500 {
		t.Errorf("the node has %d bytes", grown)
	}
	want := []model.Message{model.Text(model.User, "q"), {Role: model.ToolRole, Parts: []model.Part{
		{Result: &model.ToolResult{CallID: "c1", Name: "look", Content: content}},
	}}}
	for name, reader := range map[string]*memory.Threads{"warm": &threads, "cold": {}} {
		got, err := reader.Load(t.Context(), &s, head)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if result.Parts[0].Result.Content != "" {
		t.Error("the caller's message was changed")
	}
}

func TestErrors(t *testing.T) {
	var threads memory.Threads
	var s shelf
	one := add(t, &threads, &s, memory.Head{}, say("a"))
	two := add(t, &threads, &s, one, say("b"))
	s.data[one.Hash] = []byte(`{"messages":[`)
	if _, err := new(memory.Threads).Load(t.Context(), &s, two); !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), one.Hash) {
		t.Errorf("a damaged node: %v", err)
	}
	if _, err := new(memory.Threads).Append(t.Context(), &s, two, say("c")); !errors.Is(err, durable.ErrInternal) {
		t.Errorf("an append to a damaged thread: %v", err)
	}
	if got := texts(t, &threads, &s, two); got != "a b" {
		t.Errorf("the cache was asked and said %q", got)
	}
	delete(s.data, one.Hash)
	if _, err := new(memory.Threads).Load(t.Context(), &s, two); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a lost node: %v", err)
	}
	missing := memory.Message{Content: &durable.Ref{Hash: "gone"}, Message: model.Message{Role: model.ToolRole}}
	if _, err := threads.Append(t.Context(), &s, two, missing); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("a message whose content is not there: %v", err)
	}
	s.fail = durable.Errorf(durable.CodeUnavailable, "disk")
	if head, err := threads.Append(t.Context(), &s, two, say("c")); !errors.Is(err, durable.ErrUnavailable) || head != (memory.Head{}) {
		t.Errorf("an append that cannot be stored: %v, %v", head, err)
	}
}

// TestLinear guards the promise that bytes grow with new content only: over 200
// appends of 1,000 bytes at most 1.2 times the content is stored, and the second
// hundred costs what the first did.
func TestLinear(t *testing.T) {
	var threads memory.Threads
	var s shelf
	var head memory.Head
	const appends, size = 200, 1000
	half := 0
	for i := range appends {
		text := fmt.Sprintf("%04d", i) + strings.Repeat("x", size-4)
		head = add(t, &threads, &s, head, say(text))
		if i == appends/2-1 {
			half = s.bytes
		}
	}
	if most := appends * size * 12 / 10; s.bytes > most {
		t.Errorf("%d bytes stored for %d of content", s.bytes, appends*size)
	}
	if second := s.bytes - half; second > half*102/100 {
		t.Errorf("the first hundred appends stored %d bytes, the second %d", half, second)
	}
	if s.gets > 0 {
		t.Errorf("a thread that is known was read %d times", s.gets)
	}
	if got := texts(t, new(memory.Threads), &s, head); len(got) != appends*(size+1)-1 {
		t.Errorf("read back %d bytes", len(got))
	}
}

// TestManyThreads: more threads than the cache holds stay readable, from many
// goroutines at once.
func TestManyThreads(t *testing.T) {
	var threads memory.Threads
	var s shelf
	const n = 700
	heads := make([]memory.Head, n)
	for i := range heads {
		heads[i] = add(t, &threads, &s, memory.Head{}, say(fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, head := range heads {
				messages, err := threads.Load(t.Context(), &s, head)
				if err != nil || len(messages) != 1 || messages[0].Text() != fmt.Sprint(i) {
					t.Errorf("thread %d: %v, error %v", i, messages, err)
				}
			}
		})
	}
	wg.Wait()
}
