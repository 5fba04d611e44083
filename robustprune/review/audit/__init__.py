"""What auditors and the machinery of others take from a review: signatures, controls, SARIF, comments.

signature.py signs a bundle, controls.py maps it to the controls of standards, change.py holds a review against the last
one, comment.py writes it for a pull request. None of them measures anything.
"""
