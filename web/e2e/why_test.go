package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

const paging = `
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page, title: Page somebody}
spec:
  on: health.changed
  when: to == "unhealthy" && system.id != "db"
  gate: {for: 1s}
  unless: silenced
  do: [{webhook: {url: "http://127.0.0.1:9/nobody-listens", body: {text: "down"}}, retry: {max: 1}}]
`

// TestWhyAndWhatIf asks of a rule why it stays silent and what another would
// have done, as one who did not write it: the answers name the stage, the
// values and the time; what could not be sent is sent again.
func TestWhyAndWhatIf(t *testing.T) {
	t.Parallel()
	st := watch(t, "web", "db", "mail")
	st.Apply(paging)
	st.Do(http.MethodPost, "/api/v1/silences", core.Silence{
		ID: "quiet", Systems: core.Selector{Names: []string{"mail"}}, Starts: time.Now().Add(-time.Minute), Ends: time.Now().Add(time.Hour),
	}, nil)
	for _, target := range st.targets {
		target.Set(false)
	}
	verdicts := func() string {
		var page wire.Page[core.Decision]
		st.Do(http.MethodGet, "/api/v1/rules/page/decisions", nil, &page)
		var out []string
		for _, d := range page.Items {
			out = append(out, fmt.Sprintf("%s %s %s", d.Subject.ID, d.Verdict, d.Stage))
		}
		return strings.Join(out, ", ")
	}
	tocsintest.Until(t, 60*time.Second, "web fires, mail is held back and db is passed over", func() bool {
		v := verdicts()
		return strings.Contains(v, "web fire") && strings.Contains(v, "mail suppress unless") && strings.Contains(v, "db drop when")
	})

	p := open(t, 1440, 900, false)
	p.visit(st.Link)
	p.visit(st.URL + "/systems/mail")
	p.reads(30*time.Second, "Rules that apply")
	p.click("Page somebody")
	p.reads(15*time.Second, "Could next fire")
	p.reads(15*time.Second, "silenced")
	p.until(5*time.Second, "the stage in the way is marked", `!!document.querySelector('.why .st-list .blocked')?.innerText.includes('Unless')`)
	p.both("held-back")

	// Another subject is chosen in the page.
	p.field("Why does it fire")
	p.press("db")
	p.until(5*time.Second, "it is offered", `!!document.querySelector('[role=option][aria-selected=true]')?.innerText.startsWith('db')`)
	p.press(kb.Enter)
	p.until(15*time.Second, "the condition is in the way, with its values", `(e => !!e && e.innerText.includes('Condition') && e.innerText.includes('system.id != "db"') && e.innerText.includes('false'))(document.querySelector('.why .st-list .blocked'))`)
	p.until(5*time.Second, "the question stands in the address", `location.search.includes('why=db')`)
	p.both("why")

	// What could not be delivered is told with the rules, and sent again.
	p.visit(st.URL + "/rules")
	p.reads(30*time.Second, "1 delivery was given up")
	p.both("given-up")
	var dead wire.Page[core.Delivery]
	st.Do(http.MethodGet, "/api/v1/deliveries?status=dead", nil, &dead)
	if len(dead.Items) != 1 {
		t.Fatalf("given up are %+v", dead.Items)
	}
	p.click("Send again")
	p.reads(15*time.Second, "1 delivery sent again")
	tocsintest.Until(t, 30*time.Second, "it was tried again", func() bool {
		var all wire.Page[core.Delivery]
		st.Do(http.MethodGet, "/api/v1/deliveries", nil, &all)
		return len(all.Items) == 1 && all.Items[0].Updated.After(dead.Items[0].Updated)
	})

	// What if: the rule as it is saved, then with a longer hold.
	p.visit(st.URL + "/rules/page")
	p.reads(30*time.Second, "Compiles to")
	p.click("Run the backtest")
	p.reads(30*time.Second, "It would have fired once in the last 24 hours")
	p.reads(5*time.Second, "as it is saved")
	p.until(15*time.Second, "the lanes are drawn", `['Health', 'Condition', 'Hold', 'Fired'].every(name => [...document.querySelectorAll('.bt .lane')].some(l => l.innerText.startsWith(name) && l.querySelector('rect')))`)
	p.field("Hold for")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write("1h")
	p.reads(30*time.Second, "The saved rule would have fired once: 1 fewer now")
	p.reads(5*time.Second, "only as saved")
	p.reads(5*time.Second, "It would have fired never")
	p.reads(30*time.Second, "As edited")
	p.until(15*time.Second, "the preview says what the edit makes of it", `[...document.querySelectorAll('aside .card')].some(c => /As edited/.test(c.innerText) && /Holding|Blocked|Passed over|would pass this over/.test(c.innerText))`)
	p.until(5*time.Second, "a lane is reached by keyboard", `(() => { const e = [...document.querySelectorAll('.bt [role=slider]')].find(e => e.ariaLabel.startsWith('Condition')); e.scrollIntoView({block: 'center'}); e.focus(); return document.activeElement === e })()`)
	p.press(kb.ArrowRight)
	p.until(5*time.Second, "what is under the cursor is said", `/Condition: .*/.test(document.querySelector('.bt-under').innerText) && document.activeElement.ariaValueText.length > 10`)
	p.both("backtest")
	eval[int](p, `(scrollTo(0, 0), document.querySelector('#main').scrollTo(0, 0), 0)`)
	p.shot("preview")

	// A rule that cannot be read says so, and is tried when it is mended.
	p.field("Hold for")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write("soon")
	p.reads(30*time.Second, "It is played again as soon as what is wrong with the rule is mended")
	p.reads(15*time.Second, "as soon as what is marked is mended")
}

// TestNodes shows a process that is alone in one line, to be found from
// everywhere.
func TestNodes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.click("More")
	p.click("Nodes")
	p.reads(15*time.Second, "This process has a database of its own and does everything")
	p.reads(15*time.Second, "p99 of lateness")
	p.both("alone")

	// Several of them, as the API tells of them, after one has gone.
	half := func(from int) (out []int) {
		for i := range 128 {
			out = append(out, from+i)
		}
		return out
	}
	now := time.Now()
	told, err := json.Marshal(wire.Page[core.Node]{Items: []core.Node{
		{Name: "north-1", Here: true, Alive: true, Rules: true, Started: now.Add(-time.Hour), Expires: now.Add(9 * time.Second), Shards: half(0), Report: core.NodeReport{Version: "0.1.0", Tasks: 2100, LateP99: 12, Clock: -3}},
		{Name: "south-1", Alive: true, Started: now.Add(-time.Minute), Expires: now.Add(8 * time.Second), Report: core.NodeReport{Version: "0.1.0"}},
		{Name: "south-2", Started: now.Add(-48 * time.Hour), Expires: now.Add(-20 * time.Second), Report: core.NodeReport{Version: "0.0.9", Tasks: 2050, LateP99: 41, Unstored: 7, Dropped: 2}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.visit(s.URL + "/rules")
	p.reads(15*time.Second, "Rules")
	eval[int](p, fmt.Sprintf(`(() => { const real = fetch; window.fetch = (url, o) => String(url).endsWith('/api/v1/nodes') ?
		Promise.resolve(new Response(%s, {headers: {'Content-Type': 'application/json'}})) : real(url, o); return 0 })()`, quote(string(told))))
	p.click("More")
	p.click("Nodes")
	for _, text := range []string{"2 of 3 nodes up", "128 of 256 shards are held by nobody", "north-1 leads", "Holds nothing", "not heard of for", "2 dropped"} {
		p.reads(15*time.Second, text)
	}
	p.both("several")
}
