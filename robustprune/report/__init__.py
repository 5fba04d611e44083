"""Tables, figures and the HTML page, made from stored results; torch is never imported."""
