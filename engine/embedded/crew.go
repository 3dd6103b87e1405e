package embedded

import "sync"

// idleMost is how many goroutines of a crew are kept for what comes next: their stacks
// have grown to what the work needs, which a new one would have to do again.
const idleMost = 256

// crew is the goroutines of an engine. Unlike a sync.WaitGroup it may be joined while
// it is waited for. The zero value is ready.
type crew struct {
	spawn func(func()) // nil = a goroutine at once; see Config.Spawn

	mu   sync.Mutex
	busy int
	idle []chan func() // of those who wait for work, the one that began to wait last at the end
	done *sync.Cond    // nobody is busy
	over bool          // nobody is kept any more
}

// Go runs fn on a goroutine of the crew.
func (c *crew) Go(fn func()) {
	c.mu.Lock()
	c.busy++
	var next chan func()
	if last := len(c.idle) - 1; last >= 0 {
		next = c.idle[last]
		c.idle[last] = nil
		c.idle = c.idle[:last]
	}
	c.mu.Unlock()
	switch {
	case c.spawn != nil:
		c.spawn(func() {
			fn()
			c.leave()
		})
	case next != nil:
		next <- fn
	default:
		go c.work(fn)
	}
}

func (c *crew) work(fn func()) {
	orders := make(chan func(), 1)
	for fn != nil {
		fn()
		if !c.rest(orders) {
			return
		}
		fn = <-orders
	}
}

// rest makes a goroutine wait for its next order; false when it is not needed.
func (c *crew) rest(orders chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left()
	if c.over || len(c.idle) == idleMost {
		return false
	}
	c.idle = append(c.idle, orders)
	return true
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left()
}

// left counts one less who is busy; the caller holds c.mu.
func (c *crew) left() {
	c.busy--
	if c.busy == 0 && c.done != nil {
		c.done.Broadcast()
	}
}

// Wait returns once nobody works any more, and sends home who waits for work.
func (c *crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = sync.NewCond(&c.mu)
	}
	for c.busy > 0 {
		c.done.Wait()
	}
	c.over = true
	for _, orders := range c.idle {
		close(orders)
	}
	c.idle = nil
}
