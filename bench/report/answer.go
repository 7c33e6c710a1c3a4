package report

import (
	"fmt"
	"sort"
	"strings"

	"github.com/veneerdm/veneer/bench"
	"github.com/veneerdm/veneer/bench/stats"
)

// answer says in words what a scenario came to, as far as the samples allow.
func answer(r *bench.Result, s bench.Asked) []string {
	metrics := r.MetricsOf(s.Name)
	if s.Skipped != "" || len(metrics) == 0 {
		return nil
	}
	var said []string
	m := metrics[0]
	if s.Axis != "" && s.Unit == "B" && m == bench.Time {
		said = append(said, crossing(r, s)...)
	}
	if text := duel(r, s, m); text != "" && len(said) == 0 {
		said = append(said, text)
	}
	if text := standings(r.Rows(s.Name, m), m); text != "" {
		said = append(said, text)
	}
	return said
}

// first is the first measured backend of a kind.
func first(r *bench.Result, kind string) (string, bool) {
	for _, b := range r.Backends {
		if b.Kind == kind && b.Skipped == "" {
			return b.Name, true
		}
	}
	return "", false
}

// of finds a backend's samples in a row.
func of(row bench.Row, backend string) (bench.Samples, bool) {
	for _, c := range row.Cells {
		if c.Backend == backend {
			s, ok := c.Metrics[row.Metric.Name]
			return s, ok
		}
	}
	return bench.Samples{}, false
}

// crossing says how block and file copies grow with the size, and where they cross.
func crossing(r *bench.Result, s bench.Asked) []string {
	block, ok1 := first(r, bench.KindBlock)
	file, ok2 := first(r, bench.KindFile)
	if !ok1 || !ok2 {
		return nil
	}
	var said []string
	for _, m := range []bench.Metric{bench.Time, bench.Written} {
		rows := onAxis(r.Rows(s.Name, m))
		if len(rows) < 2 {
			continue
		}
		low, high := rows[0], rows[len(rows)-1]
		a, ok1 := of(low, block)
		b, ok2 := of(high, block)
		c, ok3 := of(low, file)
		d, ok4 := of(high, file)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			continue
		}
		said = append(said, fmt.Sprintf("By %s, %s goes from %s (%s) to %s (%s), %s from %s to %s. %s", m.Title, block,
			quantity(a.Median, m.Unit), low.Case, quantity(b.Median, m.Unit), high.Case, file, quantity(c.Median, m.Unit), quantity(d.Median, m.Unit),
			cross(rows, block, file)))
	}
	return said
}

func onAxis(rows []bench.Row) (kept []bench.Row) {
	for _, row := range rows {
		if row.X > 0 {
			kept = append(kept, row)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].X < kept[j].X })
	return kept
}

// cross finds the size from which on one side is the better one, and says so. Sizes with
// too few samples say nothing.
func cross(rows []bench.Row, block, file string) string {
	var few []string
	var better []bool
	var sizes []string
	for _, row := range rows {
		a, ok1 := of(row, file)
		b, ok2 := of(row, block)
		c := stats.Compare(a.Raw, b.Raw)
		switch {
		case !ok1 || !ok2:
			better, sizes = append(better, false), append(sizes, row.Case)
		case c.Verdict == stats.Few:
			few = append(few, row.Case)
		default:
			better, sizes = append(better, c.Verdict == stats.Different && c.Ratio < 1), append(sizes, row.Case)
		}
	}
	if len(better) == 0 {
		return "There are too few samples to say where they cross."
	}
	from := len(better)
	for from > 0 && better[from-1] {
		from--
	}
	var text string
	switch from {
	case len(better):
		text = fmt.Sprintf("At no size do the samples show %s to be the better one", block)
	case 0:
		text = fmt.Sprintf("At every size measured, %s is the better one", block)
	default:
		text = fmt.Sprintf("From %s on, %s is the better one", sizes[from], block)
	}
	if len(few) > 0 {
		text += "; of " + strings.Join(few, ", ") + " there are too few samples"
	}
	return text + "."
}

// duel compares the first block backend with the first that copies files.
func duel(r *bench.Result, s bench.Asked, m bench.Metric) string {
	block, ok1 := first(r, bench.KindBlock)
	file, ok2 := first(r, bench.KindFile)
	if !ok1 || !ok2 {
		return ""
	}
	var better, worse, open int
	best, most, worst, least := 1.0, "", 1.0, ""
	for _, row := range r.Rows(s.Name, m) {
		a, ok1 := of(row, file)
		b, ok2 := of(row, block)
		if !ok1 || !ok2 {
			continue
		}
		c := stats.Compare(a.Raw, b.Raw)
		ratio := c.Ratio
		if m.Higher {
			ratio = 1 / ratio
		}
		switch {
		case c.Verdict == stats.Few:
		case c.Verdict != stats.Different:
			open++
		case ratio < 1:
			better++
			if ratio < best {
				best, most = ratio, row.Case
			}
		default:
			worse++
			if ratio > worst {
				worst, least = ratio, row.Case
			}
		}
	}
	all := better + worse + open
	if all == 0 {
		return ""
	}
	if better+worse == 0 {
		return fmt.Sprintf("By %s, the samples tell %s and %s apart in none of %d cases.", m.Title, block, file, all)
	}
	text := fmt.Sprintf("By %s, %s is better than %s in %d of %d cases and worse in %d", m.Title, block, file, better, all, worse)
	if open > 0 {
		text += fmt.Sprintf("; in %d the samples do not tell them apart", open)
	}
	text += "."
	if better > 0 && best > 0 {
		text += fmt.Sprintf(" Its best case is “%s” (%s).", most, times(1/best))
	}
	if worse > 0 {
		text += fmt.Sprintf(" Its worst is “%s” (%s).", least, times(worst))
	}
	return text
}

// standings counts who is best alone.
func standings(rows []bench.Row, m bench.Metric) string {
	wins := map[string]int{}
	undecided := 0
	for _, row := range rows {
		if row.Verdict == stats.Different && len(row.Best) == 1 {
			wins[row.Best[0]]++
		} else {
			undecided++
		}
	}
	if len(wins) == 0 {
		return ""
	}
	var parts []string
	for _, name := range takingPart(rows) {
		if wins[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s in %d", name, wins[name]))
		}
	}
	text := fmt.Sprintf("Best of all by %s: %s of %d cases", m.Title, strings.Join(parts, ", "), len(rows))
	if undecided > 0 {
		text += fmt.Sprintf("; no single winner in %d", undecided)
	}
	return text + "."
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
