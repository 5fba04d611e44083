"""Tables, figures and the HTML page, made from stored results; torch is never imported.

groups.py folds runs, table.py makes the numeric frame, formats.py its text, contest.py and standing.py the duel of
strategies, notes.py the sentences beneath, attackers.py what attackers may spend and which attack carries the verdict,
voters.py how far the criteria agree and what each decides, figures/ and pictures.py what is drawn, views.py,
verdicts.py and html.py the page, written.py all of it in one form. across/ is another page: a contest over suites.
To add a column: `table.comparison` and `formats.columns_of`; a cost: `results.costs`; a claim: `results.claims`; a
figure: a file in figures/, and an entry in pictures.py.
"""
