package event

// Kept is how many tails a feed has, how many deltas are in them, and the bytes of all.
func (f *Feed) Kept() (tails, deltas int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tails {
		t.mu.Lock()
		deltas += len(t.deltas)
		t.mu.Unlock()
	}
	return len(f.tails), deltas, f.bytes.Load()
}
