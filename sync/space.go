package sync

import "context"

// fit plans what there is room for in the cache: a run does not fetch tonight
// what would have to go tonight.
func (r *run) fit(ctx context.Context, b Budget, plan func(Budget) Result) {
	r.report.Plan, r.report.Room = plan(b), -1
	room, err := r.site.Cache.Room(ctx, r.report.Plan.Wanted)
	if err != nil {
		r.log.Warn("how much room the cache has is not known; the plan is made without", "error", err)
		return
	}
	if room < r.report.Plan.Bytes {
		b.Bytes = room
		r.report.Plan, r.report.Room = plan(b), room
	}
}

// makeRoom tells both programs what is wanted, and evicts what is not for what
// will be fetched.
func (r *run) makeRoom(ctx context.Context) {
	// A run for some roots alone does not know what of the others is wanted.
	if !r.report.Partial {
		if err := r.site.Cache.SetWanted(r.report.Plan.Wanted); err != nil {
			r.log.Warn("eviction will not spare what the plan wants", "error", err)
		}
	}
	if len(r.report.Plan.Items) == 0 {
		return
	}
	if _, err := r.site.Cache.MakeRoom(ctx, r.report.Plan.Bytes); err != nil && ctx.Err() == nil {
		r.log.Warn("there may be no room for all that is fetched", "error", err)
	}
}
