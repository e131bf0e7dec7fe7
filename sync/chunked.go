package sync

// chunked is a list that grows without copying what it has: the lists of a
// repository are long, and the garbage of doubled slices would be most of what a
// sync run takes in memory.
type chunked[T any] struct {
	chunks [][]T
}

const chunkLen = 1 << 12

func (c *chunked[T]) add(v T) {
	last := len(c.chunks) - 1
	if last < 0 || len(c.chunks[last]) == chunkLen {
		c.chunks = append(c.chunks, make([]T, 0, chunkLen))
		last++
	}
	c.chunks[last] = append(c.chunks[last], v)
}

func (c *chunked[T]) len() int {
	last := len(c.chunks) - 1
	if last < 0 {
		return 0
	}
	return last*chunkLen + len(c.chunks[last])
}

// at is the i-th, good until the next add and longer.
func (c *chunked[T]) at(i int) *T { return &c.chunks[i/chunkLen][i%chunkLen] }
