package rules

import (
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Env is what the expressions of a rule see when it decides. It is a value, so
// that evaluation reads it without following pointers.
type Env struct {
	Kind          string         `expr:"kind" json:"kind" doc:"what the trigger saw" enum:"changed,degraded,unhealthy,recovered,escalated,deescalated,completed,failed,error,metric"`
	From          string         `expr:"from" json:"from" doc:"health before the event" enum:"unknown,healthy,degraded,unhealthy,stale"`
	To            string         `expr:"to" json:"to" doc:"health after the event" enum:"unknown,healthy,degraded,unhealthy,stale"`
	Health        string         `expr:"health" json:"health" doc:"health of the subject now, not at the event" enum:"unknown,healthy,degraded,unhealthy,stale"`
	Cause         string         `expr:"cause" json:"cause" doc:"what moved health" enum:"run,config,stale,override"`
	Subject       SubjectVar     `expr:"subject" json:"subject" doc:"what the event is about"`
	System        SystemVar      `expr:"system" json:"system" doc:"the system that the subject is or belongs to; of a group its id is empty"`
	Check         CheckVar       `expr:"check" json:"check" doc:"the check of an assignment; else its id is empty"`
	Group         GroupVar       `expr:"group" json:"group" doc:"the group that the subject is; else its id is empty"`
	Why           string         `expr:"why" json:"why" doc:"the reason, one sentence"`
	HealthyChecks int            `expr:"healthy_checks" json:"healthy_checks" doc:"checks that are healthy"`
	TotalChecks   int            `expr:"total_checks" json:"total_checks" doc:"checks that are enabled"`
	CausedBy      []string       `expr:"caused_by" json:"caused_by,omitempty" doc:"systems upstream that are unhealthy; null when none"`
	At            time.Time      `expr:"at" json:"at" doc:"when the event happened"`
	Now           time.Time      `expr:"now" json:"now" doc:"when the rule decides"`
	HealthFor     time.Duration  `expr:"health_for" json:"health_for" doc:"how long the subject has been in its health"`
	InMaintenance bool           `expr:"in_maintenance" json:"in_maintenance" doc:"a maintenance of the system is on"`
	Silenced      bool           `expr:"silenced" json:"silenced" doc:"a silence of the system is on"`
	Seq           int64          `expr:"seq" json:"seq" doc:"place of the event in the log"`
	Run           int64          `expr:"run" json:"run" doc:"the run that caused the event, 0 when none"`
	Outcome       string         `expr:"outcome" json:"outcome,omitempty" doc:"of the newest run, of a rule that looks at runs" enum:"pass,warn,fail,error"`
	Summary       string         `expr:"summary" json:"summary,omitempty" doc:"what the run said, one line"`
	Latency       time.Duration  `expr:"latency" json:"latency,omitempty" doc:"of the run"`
	Samples       map[string]any `expr:"samples" json:"samples,omitempty" doc:"of the run: samples.NAME, or samples['STEP.NAME'] of a check with several steps"`
}

// SubjectVar is subject in expressions.
type SubjectVar struct {
	Kind string `expr:"kind" json:"kind" enum:"assignment,system,group"`
	ID   string `expr:"id" json:"id"`
}

// SystemVar is system in expressions.
type SystemVar struct {
	ID     string            `expr:"id" json:"id"`
	Name   string            `expr:"name" json:"name" doc:"the id when it has no other"`
	Tags   map[string]string `expr:"tags" json:"tags" doc:"an absent tag is empty text"`
	Health string            `expr:"health" json:"health" doc:"rolled up, now" enum:"unknown,healthy,degraded,unhealthy,stale"`
	Groups []string          `expr:"groups" json:"groups"`
}

// CheckVar is check in expressions.
type CheckVar struct {
	ID   string `expr:"id" json:"id"`
	Name string `expr:"name" json:"name" doc:"the id when it has no other"`
}

// GroupVar is group in expressions.
type GroupVar struct {
	ID string `expr:"id" json:"id"`
}

// RuleVar is rule in the texts of steps.
type RuleVar struct {
	ID   string `expr:"id" json:"id"`
	Name string `expr:"name" json:"name" doc:"the id when it has no other"`
}

// StepEnv is what the texts and conditions of steps see: the facts that the
// rule fired on, and the outputs of the steps before.
type StepEnv struct {
	Kind          string         `expr:"kind" json:"kind" doc:"what the trigger saw" enum:"changed,degraded,unhealthy,recovered,escalated,deescalated,completed,failed,error,metric"`
	From          string         `expr:"from" json:"from" doc:"health before the event" enum:"unknown,healthy,degraded,unhealthy,stale"`
	To            string         `expr:"to" json:"to" doc:"health after the event" enum:"unknown,healthy,degraded,unhealthy,stale"`
	Health        string         `expr:"health" json:"health" doc:"health of the subject when the rule fired; in a condition: now" enum:"unknown,healthy,degraded,unhealthy,stale"`
	Cause         string         `expr:"cause" json:"cause" doc:"what moved health" enum:"run,config,stale,override"`
	Subject       SubjectVar     `expr:"subject" json:"subject" doc:"what the event is about"`
	System        SystemVar      `expr:"system" json:"system" doc:"the system that the subject is or belongs to"`
	Check         CheckVar       `expr:"check" json:"check" doc:"the check of an assignment; else its id is empty"`
	Group         GroupVar       `expr:"group" json:"group" doc:"the group that the subject is; else its id is empty"`
	Why           string         `expr:"why" json:"why" doc:"the reason, one sentence"`
	HealthyChecks int            `expr:"healthy_checks" json:"healthy_checks" doc:"checks that are healthy"`
	TotalChecks   int            `expr:"total_checks" json:"total_checks" doc:"checks that are enabled"`
	CausedBy      []string       `expr:"caused_by" json:"caused_by,omitempty" doc:"systems upstream that are unhealthy; null when none"`
	At            time.Time      `expr:"at" json:"at" doc:"when the event happened"`
	Now           time.Time      `expr:"now" json:"now" doc:"when the rule fired; in a condition: when it is looked at"`
	HealthFor     time.Duration  `expr:"health_for" json:"health_for" doc:"how long the subject had been in its health; in a condition: now"`
	InMaintenance bool           `expr:"in_maintenance" json:"in_maintenance" doc:"a maintenance of the system was on"`
	Silenced      bool           `expr:"silenced" json:"silenced" doc:"a silence of the system was on"`
	Seq           int64          `expr:"seq" json:"seq" doc:"place of the event in the log"`
	Run           int64          `expr:"run" json:"run" doc:"the run that caused the event, 0 when none"`
	Outcome       string         `expr:"outcome" json:"outcome,omitempty" doc:"of the newest run, of a rule that looks at runs" enum:"pass,warn,fail,error"`
	Summary       string         `expr:"summary" json:"summary,omitempty" doc:"what the run said, one line"`
	Latency       time.Duration  `expr:"latency" json:"latency,omitempty" doc:"of the run"`
	Samples       map[string]any `expr:"samples" json:"samples,omitempty" doc:"of the run: samples.NAME, or samples['STEP.NAME'] of a check with several steps"`
	Episode       string         `expr:"episode" json:"episode" doc:"the same in the firings and the recovery of one problem"`
	N             int            `expr:"n" json:"n" doc:"which firing of its episode, from 1; 0 is the recovery"`
	Rule          RuleVar        `expr:"rule" json:"rule" doc:"the rule that fired"`
	Firing        string         `expr:"firing" json:"firing" doc:"id of the firing, the idempotency key of what it sends"`
	Steps         map[string]any `expr:"steps" json:"-" doc:"outputs of the steps before, by id: steps.ID.FIELD"`
	Vars          map[string]any `expr:"vars" json:"-" doc:"what let steps before have named: vars.NAME"`
	Repeat        RepeatVar      `expr:"repeat" json:"-" doc:"in the steps of a repeat"`
}

// RepeatVar is repeat in the steps of a repeat.
type RepeatVar struct {
	Index int `expr:"index" doc:"which time it is, from 0"`
	Item  any `expr:"item" doc:"of for_each: the one that it is about"`
}

// stepEnv is e as steps see it, for one firing.
func (e Env) stepEnv(f core.Firing, rule RuleVar) StepEnv {
	return StepEnv{
		Kind: e.Kind, From: e.From, To: e.To, Health: e.Health, Cause: e.Cause,
		Subject: e.Subject, System: e.System, Check: e.Check, Group: e.Group, Why: e.Why,
		HealthyChecks: e.HealthyChecks, TotalChecks: e.TotalChecks, CausedBy: e.CausedBy,
		At: e.At, Now: e.Now, HealthFor: e.HealthFor, InMaintenance: e.InMaintenance, Silenced: e.Silenced,
		Seq: e.Seq, Run: e.Run, Episode: f.Episode, N: f.N, Rule: rule, Firing: f.ID,
		Outcome: e.Outcome, Summary: e.Summary, Latency: e.Latency, Samples: plainSamples(e.Samples),
	}
}

// selectEnv is what selectors over systems see.
type selectEnv struct {
	System selectVar `expr:"system"`
}

type selectVar struct {
	ID     string            `expr:"id"`
	Name   string            `expr:"name"`
	Tags   map[string]string `expr:"tags"`
	Groups []string          `expr:"groups"`
}

func selectOf(s core.System) selectEnv {
	ref := s.Ref()
	return selectEnv{System: selectVar{ID: ref.ID, Name: ref.Name, Tags: ref.Tags, Groups: s.Groups}}
}

// plainSamples are samples as JSON keeps them: lengths of time and instants are
// text.
func plainSamples(samples map[string]any) map[string]any {
	if len(samples) == 0 {
		return nil
	}
	out := make(map[string]any, len(samples))
	for name, v := range samples {
		switch x := v.(type) {
		case time.Duration:
			v = core.Duration(x).String()
		case time.Time:
			v = x.Format(time.RFC3339Nano)
		}
		out[name] = v
	}
	return out
}
