package core_test

import (
	"fmt"
	"testing"

	"github.com/tocsin-io/tocsin/core"
)

// BenchmarkBoardOutage takes all systems of one group down and up again, one
// after another: what a change costs grows with the group, by some nanoseconds
// a member.
func BenchmarkBoardOutage(b *testing.B) {
	for _, systems := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("systems=%d", systems), func(b *testing.B) {
			board := core.NewBoard()
			var c core.Change
			for i := range systems {
				id := fmt.Sprintf("s%05d", i)
				c.PutSystems = append(c.PutSystems, core.System{ID: id, Groups: []string{"all"}})
				c.PutAssignments = append(c.PutAssignments, assignment(id, "http"))
			}
			board.Configure(c, start)
			board.Commit()
			run := runOf(0, core.Pass)
			i := 0
			for b.Loop() {
				run.Assignment = c.PutAssignments[i*7%systems].ID
				run.Outcome = core.Pass
				if i/systems%2 == 0 {
					run.Outcome = core.Fail
				}
				board.Record(run)
				if i++; i%1000 == 0 {
					board.Commit()
				}
			}
		})
	}
}
