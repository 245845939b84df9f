"""Experiment: do the power spectra of the errors tell real from fake, and does a score made of them?"""
