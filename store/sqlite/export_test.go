package sqlite

// SetIndexEvery changes how many blobs are remembered before they go into the index, and
// returns what puts it back.
func SetIndexEvery(n int) func() {
	before := indexEvery
	indexEvery = n
	return func() { indexEvery = before }
}
