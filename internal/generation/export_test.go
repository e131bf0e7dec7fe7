package generation

// AwaitIdle waits until no metadata is being brought together.
func (f *Refresher) AwaitIdle() {
	for {
		f.mu.Lock()
		var under *flight
		for _, under = range f.flights {
			break
		}
		f.mu.Unlock()
		if under == nil {
			return
		}
		<-under.done
	}
}

// Waiting is how many clients have entered r's flight.
func (f *Refresher) Waiting(r Root) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[r]; fl != nil {
		return fl.entered
	}
	return 0
}
