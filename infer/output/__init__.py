"""Answers → text, pages, contact sheets, terminal pictures and files of vectors."""
