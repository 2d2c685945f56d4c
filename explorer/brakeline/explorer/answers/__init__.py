"""Six questions that a delegation asks of a design, each answered with a sentence, its caveat, figures and tables.

:mod:`~brakeline.explorer.answers.forms` says what an answer is, :func:`~brakeline.explorer.answers.ask.answer_all`
gives all of them; one module a question. Nothing here prints or draws.
"""
