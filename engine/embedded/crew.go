package embedded

import "sync"

// crew is the goroutines of an engine. Unlike a sync.WaitGroup it may be joined while
// it is waited for. The zero value is ready.
type crew struct {
	spawn func(func()) // nil = a goroutine at once; see Config.Spawn

	mu   sync.Mutex
	n    int
	done *sync.Cond
}

// Go runs fn on a goroutine of the crew.
func (c *crew) Go(fn func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	run := func() {
		defer c.leave()
		fn()
	}
	if c.spawn != nil {
		c.spawn(run)
		return
	}
	go run()
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.done != nil {
		c.done.Broadcast()
	}
}

// Wait returns once nobody is left.
func (c *crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = sync.NewCond(&c.mu)
	}
	for c.n > 0 {
		c.done.Wait()
	}
}
