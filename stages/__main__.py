"""`makeweight`: all commands in one."""

from stages.check import check
from stages.clean import clean
from stages.command import app
from stages.compare import compare
from stages.generate import generate
from stages.prepare import prepare
from stages.report import report
from stages.train_classifier import train_classifier
from stages.train_generator import train_generator

makeweight = app(check, prepare, train_generator, generate, train_classifier, compare, report, clean)

if __name__ == "__main__":
    makeweight()
