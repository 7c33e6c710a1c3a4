package lifecycle_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/veneerdm/veneer/lifecycle"
)

var rewrite = flag.Bool("rewrite", false, "write the tables in docs/ARCHITECTURE.md anew")

const document = "../docs/ARCHITECTURE.md"

// The tables in the document are the ones that the program goes by.
func TestTheDocumentHasTheTables(t *testing.T) {
	b, err := os.ReadFile(document)
	require.NoError(t, err)
	text := string(b)
	for name, table := range map[string]string{"transitions": transitionTable(), "start-up": startUpTable()} {
		begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
		before, rest, found := strings.Cut(text, begin)
		require.True(t, found, name)
		have, after, found := strings.Cut(rest, end)
		require.True(t, found, name)
		if *rewrite {
			text = before + begin + table + end + after
			continue
		}
		assert.Equal(t, table, have, "go test ./lifecycle -run Document -rewrite writes it anew")
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(document, []byte(text), 0o600))
	}
}

func transitionTable() string {
	var b strings.Builder
	b.WriteString("| transition | from | to | steps; **catalog writes** are on the disk before the next step |\n|---|---|---|---|\n")
	for _, tr := range lifecycle.Transitions() {
		steps := make([]string, len(tr.Steps))
		for i, s := range tr.Steps {
			if steps[i] = s.Name; s.Catalog {
				steps[i] = "**" + s.Name + "**"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", tr.Name, tr.From, tr.To, strings.Join(steps, ", "))
	}
	return b.String()
}

// line is a line of the start-up table: rows of one state that have the same cure.
type line struct {
	state  lifecycle.State
	inPool bool
	cure   string
	when   []string
	causes []string
}

func startUpTable() string {
	var lines []*line
	for _, state := range lifecycle.States {
		for _, inPool := range []bool{false, true} {
			for _, device := range lifecycle.Devices {
				lines = addLines(lines, lifecycle.Observed{State: state, InPool: inPool, Device: device})
			}
		}
	}
	var b strings.Builder
	b.WriteString("| catalog | pool has it | device | action | a crash of these leaves it |\n|---|---|---|---|---|\n")
	for _, l := range lines {
		causes := strings.Join(l.causes, "; ")
		if causes == "" {
			causes = "none; somebody else did it"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", l.state, yes(l.inPool), strings.Join(l.when, "; "), l.cure, causes)
	}
	return b.String()
}

// addLines adds what is done about what is observed, for each combination of the rest
// that makes a difference.
func addLines(lines []*line, o lifecycle.Observed) []*line {
	differs := func(change func(*lifecycle.Observed)) bool {
		other := o
		change(&other)
		return other.Possible() && lifecycle.Decide(other).Cure() != lifecycle.Decide(o).Cure()
	}
	variants := []lifecycle.Observed{o}
	words := map[lifecycle.Observed]string{o: string(o.Device)}
	for word, change := range map[string]func(*lifecycle.Observed){
		"viewed":        func(o *lifecycle.Observed) { o.Viewed = true },
		"catalog older": func(o *lifecycle.Observed) { o.Older = true },
	} {
		if differs(change) {
			other := o
			change(&other)
			variants = append(variants, other)
			words[other] = string(o.Device) + ", " + word
		}
	}
	for _, v := range variants {
		if !v.Possible() {
			continue
		}
		cure := lifecycle.Decide(v).Cure()
		if cure == "" {
			cure = "nothing"
		}
		i := slices.IndexFunc(lines, func(l *line) bool { return l.state == v.State && l.inPool == v.InPool && l.cure == cure })
		if i < 0 {
			i = len(lines)
			lines = append(lines, &line{state: v.State, inPool: v.InPool, cure: cure})
		}
		lines[i].when = append(lines[i].when, words[v])
		viewed := v
		viewed.Viewed = true
		causes := lifecycle.Causes(v)
		if lifecycle.Decide(viewed).Cure() == lifecycle.Decide(v).Cure() {
			causes = append(causes, lifecycle.Causes(viewed)...)
		}
		for _, cause := range causes {
			if !slices.Contains(lines[i].causes, cause) {
				lines[i].causes = append(lines[i].causes, cause)
			}
		}
	}
	return lines
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
