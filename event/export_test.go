package event

// Queued is how much waits for the watchers of a feed.
func (f *Feed) Queued() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, of := range f.watch {
		for w := range of {
			n += len(w.queue)
		}
	}
	return n
}
