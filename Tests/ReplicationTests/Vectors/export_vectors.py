#!/usr/bin/env python3
"""Writes histories made by the executable specification, with what it says of them, one JSON document a line.

    export_vectors.py MODEL [HISTORIES] [SEED] > histories.jsonl        MODEL: path of state_model.py

A line is {"c": changesets, "s": sets}.
Changesets are sorted by ID and named by their place. One is [under, author, hlc, writes, grant, floors]:
  under    place of the changeset that made the grant, -1 for the root's
  author   place in the sorted list of the model's keys: A B C p1 p2 root tok
  writes   [[register, value or null, counter, [[author, counter], ...]], ...]
  grant    null or [subject, "letters of its capabilities"], g(rant) a(dmit) w(rite) o(nce)
  floors   [[place of the grant, hlc or null for no end, [kept places]], ...]
A set is [order, counting, evidence, compared, view]: `order` the places held, in an order to take them in; the next
three are bit sets in hexadecimal; the view is [[register, effective value or null, [conflicting values]], ...]."""
import importlib.util, json, random, sys

def load(path):
    spec = importlib.util.spec_from_file_location("state_model", path)
    model = importlib.util.module_from_spec(spec); sys.modules["state_model"] = model; spec.loader.exec_module(model)
    return model

KEYS = ["A", "B", "C", "p1", "p2", "root", "tok"]

def line(model, rng, forget, sets):
    peers, made = model.history(rng, forget)
    made = sorted(made, key=lambda c: c.id)
    place = {c.id: i for i, c in enumerate(made)}; place[model.ROOT] = -1
    end = lambda hlc: None if hlc == model.MAX else hlc
    changesets = [[place[c.under], KEYS.index(c.author), c.hlc,
        [[w.register, w.value, w.counter, [[KEYS.index(a), n] for a, n in w.context]] for w in c.writes],
        [KEYS.index(c.grants[0].subject), "".join(sorted(k[0] for k in c.grants[0].capabilities))] if c.grants else None,
        [[place[f.grant], end(f.hlc), sorted(place[k] for k in f.keep)] for f in c.floors]] for c in made]
    bits = lambda part: f"{sum(1 << place[c.id] for c in part):x}"
    def said(held):
        order = list(held); rng.shuffle(order)
        counting, evidence = model.counting(set(held)); part, _ = model.compared(set(held))
        shown = sorted([r, v, list(rest)] for r, (v, rest) in model.view(part).items())
        return [[place[c.id] for c in order], bits(counting), bits(evidence), bits(part | evidence), shown]
    wellformed = [c for c in made if model.well_formed(c)]
    held = [wellformed] + [sorted(p.held, key=lambda c: c.id) for p in peers[:1]]
    while len(held) < sets:
        share = rng.choice([.3, .6, .9]); held.append([c for c in wellformed if rng.random() < share])
    return json.dumps({"c": changesets, "s": [said(h) for h in held]}, separators=(",", ":"))

def main():
    model = load(sys.argv[1])
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 300; seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    for i in range(runs):
        print(line(model, random.Random(seed * 1_000_003 + i), i % 2 == 0, 4))

if __name__ == "__main__": main()
