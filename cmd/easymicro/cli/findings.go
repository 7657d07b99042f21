package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// showFindings prints what validate found, in the form that was asked for.
func (a *app) showFindings(all []checked) error {
	switch a.output {
	case outputJSON:
		list := config.Problems{}
		for _, c := range all {
			list = append(list, c.problems...)
		}
		return a.json(list)
	case outputGithub:
		for _, c := range all {
			for _, p := range c.problems {
				a.line("%s", annotation(p))
			}
		}
		return nil
	}
	for _, c := range all {
		a.findingsText(c)
	}
	return nil
}

func (a *app) findingsText(c checked) {
	for _, p := range c.problems {
		if p.Warning {
			a.line("%s %s", a.paint(yellow, "warning:"), p)
		} else {
			a.line("%s", p)
		}
	}
	if c.problems.Err() != nil {
		return
	}
	text := a.paint(green, "no problems")
	if n := len(c.problems); n > 0 {
		text += ", " + count(n, "warning")
	}
	if c.what != "" {
		text += " (" + c.what + ")"
	}
	a.line("%s: %s", c.file, text)
}

// annotation is a problem as a workflow command of GitHub, which shows it at its place in a pull request.
func annotation(p config.Problem) string {
	level := "error"
	if p.Warning {
		level = "warning"
	}
	place := ""
	if p.Line > 0 {
		property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
		place = fmt.Sprintf(" file=%s,line=%d,col=%d", property.Replace(filepath.ToSlash(p.File)), p.Line, max(p.Column, 1))
		p.File = ""
	}
	return "::" + level + place + "::" + strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(p.String())
}
