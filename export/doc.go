// Package export writes records for people and programs: JSON, CSV, text, tables and Markdown.
//
// A Writer takes the records of a run one by one. What they say was decided before; here they are
// masked, escaped and laid out. Nothing from the wire reaches an output as it is: text is shown as
// UTF-8, and a byte that is not printable as \xNN. Secrets stand as a part of their hash unless
// they are asked for.
package export
