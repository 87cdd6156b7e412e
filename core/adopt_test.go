package core_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// sharing is two Boards that share the Systems among them, each deciding only
// of its own and adopting what the other decided, beside one that decides of
// all.
type sharing struct {
	one    *core.Board
	boards [2]*core.Board
}

// owner is which of the two decides of a System.
func owner(system string) int { return int(system[len(system)-1]) % 2 }

// told commits what a Board decided and tells the other one, as far as a store
// would: standings only with an edit.
func (s *sharing) told(by int, c core.Change, edit bool, now time.Time) {
	standings := map[string]core.Standing{}
	var rolled []core.Rolled
	from, to := s.boards[by], s.boards[1-by]
	from.Dirty(func(a core.Assignment, st core.Standing) {
		if edit {
			standings[a.ID] = st
		}
	}, func(r core.Rolled) { rolled = append(rolled, r) }, func(core.Subject) {})
	from.Commit()
	to.Adopt(c, standings, rolled, now)
}

// configure makes an edit on one Board, which first adopts the standings that
// the other one has.
func (s *sharing) configure(by int, c core.Change, now time.Time) string {
	standings := map[string]core.Standing{}
	for _, system := range s.boards[by].Concerned(c) {
		for _, check := range []string{"http", "tcp", "dns"} {
			id := core.AssignmentID(system, check)
			if st, ok := s.boards[1-by].Standing(id); ok && owner(system) != by {
				standings[id] = st
			}
		}
	}
	s.boards[by].Adopt(core.Change{}, standings, nil, now)
	got := brief(s.boards[by].Configure(c, now))
	s.told(by, c, true, now)
	return got
}

// Boards that share the work decide what one alone decides, whatever happens.
//
// acceptance 4.
func TestBoardsShare(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		s := sharing{core.NewBoard(), [2]*core.Board{core.NewBoard(), core.NewBoard()}}
		for i := range 150 {
			now := start.Add(time.Duration(i) * time.Minute)
			var did, got, want string
			if r.IntN(4) == 0 {
				c := randomChange(r)
				did = fmt.Sprintf("edit %+v", c)
				want, got = brief(s.one.Configure(c, now)), s.configure(r.IntN(2), c, now)
			} else {
				system := fmt.Sprintf("s%d", r.IntN(6))
				id, by := core.AssignmentID(system, []string{"http", "tcp", "dns"}[r.IntN(3)]), owner(system)
				if r.IntN(6) == 0 {
					did = "expire " + id
					want, got = brief(s.one.Expire([]string{id}, now)), brief(s.boards[by].Expire([]string{id}, now))
				} else {
					run := runOf(i, core.Outcome(r.IntN(4)))
					run.Assignment, did = id, "run of "+id
					want, got = brief(s.one.Record(run)), brief(s.boards[by].Record(run))
				}
				s.told(by, core.Change{}, false, now)
			}
			s.one.Commit()
			if got != want {
				t.Fatalf("seed %d, step %d: %s: one of two boards says\n%s\nwant\n%s", seed, i, did, got, want)
			}
		}
		for i := range 6 {
			system := fmt.Sprintf("s%d", i)
			want, watched := s.one.System(system)
			for by, b := range s.boards {
				if got, ok := b.System(system); ok != watched || got.Health != want.Health || !got.Since.Equal(want.Since) || fmt.Sprint(got.CausedBy) != fmt.Sprint(want.CausedBy) {
					t.Fatalf("seed %d: board %d says of %s %+v (%t), want %+v (%t)", seed, by, system, got, ok, want, watched)
				}
			}
		}
	}
}

// randomChange is an edit of six Systems.
func randomChange(r *rand.Rand) core.Change {
	n := r.IntN(6)
	s := core.System{ID: fmt.Sprintf("s%d", n), Rollup: core.Rollup{Quorum: r.IntN(3)}}
	for up := range n { // only on lower ones: no cycles
		if r.IntN(3) == 0 {
			s.DependsOn = append(s.DependsOn, fmt.Sprintf("s%d", up))
		}
	}
	for _, g := range []string{"g0", "g1"} {
		if r.IntN(2) == 0 {
			s.Groups = append(s.Groups, g)
		}
	}
	a := assignment(s.ID, []string{"http", "tcp", "dns"}[r.IntN(3)])
	a.Enabled = r.IntN(4) > 0
	if r.IntN(2) == 0 {
		a.Policy = randomPolicy(r)
	}
	switch r.IntN(4) {
	case 0:
		return core.Change{DeleteSystems: []string{s.ID}, DeleteAssignments: []string{core.AssignmentID(fmt.Sprintf("s%d", r.IntN(6)), "tcp")}}
	case 1:
		return core.Change{DeleteAssignments: []string{a.ID}}
	}
	return core.Change{PutSystems: []core.System{s}, PutAssignments: []core.Assignment{a}}
}
