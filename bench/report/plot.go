package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/veneerdm/veneer/bench"
)

// A figure is one plot with its words. Coordinates are those of the SVG's viewBox.
type figure struct {
	ID, Title, Text string // Text is the alternative for those who do not see it
	Width, Height   float64
	Left, Right     float64 // of the area
	Top, Bottom     float64
	X, Y            []tick
	XTitle          string
	Lines           []line
	Rows            []strip
	Legend          []key
}

// key is an entry of the legend.
type key struct {
	Name  string
	Color int
}

// line is one backend's points, joined.
type line struct {
	key
	Path   string
	Points []point
}

// strip is one case of a plot without an axis: its name above, a point for each backend
// below.
type strip struct {
	Name   string
	At     float64 // of the name
	Y      float64
	Points []point
}

// point is a median with its interval.
type point struct {
	X, Y      float64
	Low, High float64 // ends of the interval, on the axis of the value
	Whisker   bool    // the interval is more than a dot
	Zero      bool    // nothing was measured, which a logarithm has no place for
	Color     int
	Label     string
}

const (
	figureWidth  = 460
	figureHeight = 300
	stripHeight  = 50
	stripMarks   = 20 // of its height, for the marks of all backends
	marginLeft   = 62
	marginRight  = 14
	marginTop    = 14
	marginBottom = 44
)

// extent is the range of the positive numbers among samples.
func extent(rows []bench.Row) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, row := range rows {
		for _, c := range row.Cells {
			s, ok := c.Metrics[row.Metric.Name]
			if !ok {
				continue
			}
			for _, v := range []float64{s.Low, s.Median, s.High} {
				if v > 0 {
					low, high = math.Min(low, v), math.Max(high, v)
				}
			}
		}
	}
	return low, high
}

// curve draws a metric over an axis, a line for each backend.
func curve(id string, asked bench.Asked, series string, m bench.Metric, rows []bench.Row, colors map[string]int) figure {
	f := figure{
		ID: id, Title: m.Title, Width: figureWidth, Height: figureHeight,
		Left: marginLeft, Right: figureWidth - marginRight, Top: marginTop, Bottom: figureHeight - marginBottom, XTitle: asked.Axis,
	}
	if series != "" {
		f.Title = series + ": " + m.Title
	}
	low, high := extent(rows)
	y := newAxis(low, high, f.Bottom-6, f.Top, m.Unit)
	x := newAxis(rows[0].X, rows[len(rows)-1].X, f.Left+8, f.Right-8, asked.Unit)
	f.Y = y.ticks
	for i, row := range rows {
		if len(rows) <= mostTicks || (len(rows)-1-i)%((len(rows)+mostTicks-1)/mostTicks) == 0 {
			f.X = append(f.X, tick{x.place(row.X), quantity(row.X, asked.Unit)})
		}
	}
	names := takingPart(rows)
	for n, name := range names {
		l := line{key: key{name, colors[name]}}
		var path []string
		for _, row := range rows {
			if p, ok := pointOf(row, name, y, l.Color); ok {
				p.X, p.Y = x.place(row.X)+float64(2*n-len(names)+1)*1.2, y.place(p.Y) // apart, so that whiskers do not hide each other
				l.Points = append(l.Points, p)
				path = append(path, fmt.Sprintf("%g,%g", p.X, p.Y))
			}
		}
		if len(path) > 0 {
			l.Path = strings.Join(path, " ")
			f.Lines = append(f.Lines, l)
			f.Legend = append(f.Legend, l.key)
		}
	}
	f.Text = inWords(f, rows)
	return f
}

// strips draws a metric of cases that have no order.
func strips(id string, m bench.Metric, rows []bench.Row, colors map[string]int) figure {
	f := figure{
		ID: id, Title: m.Title, Width: figureWidth, Height: float64(len(rows)*stripHeight + marginTop + marginBottom),
		Left: 10, Right: figureWidth - marginRight, Top: marginTop,
	}
	f.Bottom = f.Height - marginBottom + 14
	low, high := extent(rows)
	x := newAxis(low, high, f.Left+6, f.Right-6, m.Unit)
	f.X = x.ticks
	for i, row := range rows {
		s := strip{Name: row.Case, At: f.Top + float64(i*stripHeight) + 11, Y: f.Top + float64(i*stripHeight) + 28}
		names := takingPart(rows)
		for n, name := range names {
			if p, ok := pointOf(row, name, x, colors[name]); ok {
				p.X, p.Y = x.place(p.Y), round(s.Y+stripMarks*(float64(n)+0.5)/float64(len(names))-stripMarks/2)
				s.Points = append(s.Points, p)
			}
		}
		f.Rows = append(f.Rows, s)
	}
	for _, name := range takingPart(rows) {
		f.Legend = append(f.Legend, key{name, colors[name]})
	}
	f.Text = inWords(f, rows)
	return f
}

// pointOf gives a backend's point in a row, its median in Y as yet without a place.
func pointOf(row bench.Row, backend string, a axis, color int) (point, bool) {
	i := slices.IndexFunc(row.Cells, func(c bench.Cell) bool { return c.Backend == backend })
	if i < 0 {
		return point{}, false
	}
	s, ok := row.Cells[i].Metrics[row.Metric.Name]
	if !ok {
		return point{}, false
	}
	p := point{Y: s.Median, Low: a.place(s.Low), High: a.place(s.High), Zero: s.Median <= 0, Color: color}
	p.Whisker = math.Abs(p.High-p.Low) > 8
	p.Label = fmt.Sprintf("%s, %s: %s", backend, row.Case, value(s, row.Metric.Unit))
	return p, true
}

// inWords tells what a plot shows: for each backend the first and the last number.
func inWords(f figure, rows []bench.Row) string {
	var parts []string
	for _, k := range f.Legend {
		var texts []string
		for _, row := range rows {
			if text := cellText(row, k.Name); text != "-" {
				texts = append(texts, fmt.Sprintf("%s at %s", text, row.Case))
			}
		}
		if len(texts) > 2 && f.Lines != nil {
			texts = []string{texts[0], texts[len(texts)-1]}
		}
		parts = append(parts, k.Name+": "+strings.Join(texts, ", "))
	}
	return strings.Join(parts, "; ") + "."
}
